// A file system that is being configured (fsopen(2)), with errors that carry what the kernel says.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"

namespace darse::mnt {

// `error` with the sentences that the kernel queued on the context.
absl::Status ContextError(int context, int error, const std::string& doing);
absl::Status SetString(int context, const std::string& type, const std::string& key,
                       const std::string& value);
// A detached mount of it.
absl::StatusOr<UniqueFd> Finish(int context, const std::string& type, uint64_t attributes);

}  // namespace darse::mnt
