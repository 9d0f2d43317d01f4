// What a container may ask for: everything that can be said about a spec without looking at this
// node.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container.pb.h"

namespace darse::runtime {

// INVALID_ARGUMENT names the field and what it may hold; UNIMPLEMENTED for what Darse does not do
// yet. Brings the spec into one form on the way (protocol "tcp" where none is given, mount targets
// without "//" and trailing "/"), and appends what will be done otherwise than asked to `warnings`.
absl::Status CheckSpec(v1::ContainerSpec& spec, std::vector<std::string>& warnings);

// Limits alone, as UpdateContainer takes them.
absl::Status CheckResources(const v1::Resources& resources);
// `auto_remove` excludes every policy that restarts.
absl::Status CheckRestartPolicy(const v1::RestartPolicy& policy, bool auto_remove);

// "SIGHUP", "hup", "1" → 1. INVALID_ARGUMENT for others.
absl::StatusOr<int> ParseSignal(absl::string_view text);

// "CAP_NET_ADMIN" for "net_admin", "NET_ADMIN" or itself. INVALID_ARGUMENT for no capability of
// Linux.
absl::StatusOr<std::string> ParseCapability(absl::string_view text);
// Every capability by number.
const std::vector<std::string>& AllCapabilities();

// RLIMIT_NOFILE for "nofile". INVALID_ARGUMENT for others.
absl::StatusOr<std::string> ParseUlimitName(absl::string_view text);

// A path without "//", "/./", "/../" and trailing "/". `path` must begin with "/".
std::string CleanPath(absl::string_view path);

bool IsValidName(absl::string_view name);

}  // namespace darse::runtime
