// What a request about networks may hold. Pure.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/runtime/networks/network.h"

namespace darse::runtime {

// [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128, and none of the words that mean a mode.
absl::Status CheckNetworkName(absl::string_view name);
// The request with its ports in one spelling (protocol given, 0.0.0.0 as empty). INVALID_ARGUMENT
// for what cannot be carried out.
absl::StatusOr<AttachRequest> CheckAttachRequest(const AttachRequest& request);

}  // namespace darse::runtime
