// The new mount API with errors that carry what the file system said.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"

namespace darse::mnt {

using Data = std::vector<std::pair<std::string, std::string>>;

// A mount of a new file system that is attached nowhere yet. Data with an empty value is a flag.
absl::StatusOr<UniqueFd> MakeMount(const std::string& type, const std::string& source,
                                   const Data& data, uint64_t attributes);

// A detached copy of the mount at `path` (below `directory`, or of that fd itself if `path` is
// empty).
absl::StatusOr<UniqueFd> CloneMount(int directory, const std::string& path, bool recursive);

absl::Status SetAttributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation,
                           bool recursive);
// id-maps a detached mount with the maps of a user namespace.
absl::Status SetIdMap(int mount, int user_namespace, bool recursive);
absl::Status MoveMount(int mount, int target);

}  // namespace darse::mnt
