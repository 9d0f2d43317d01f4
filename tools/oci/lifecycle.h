// What the verbs that make, change and end containers have in common.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/container/config/spec.h"
#include "tools/oci/bundle_state.h"
#include "tools/oci/flags.h"
#include "tools/oci/verbs.h"

namespace darse::ocitool {

// The one argument.
absl::StatusOr<std::string> TheId(const Flags& flags);
// Without symbolic links; it must exist.
absl::StatusOr<std::string> Absolute(const std::string& path);
// Where --pid-file says, if it does.
absl::Status WritePidFile(const Flags& flags, pid_t pid);
// The state that hooks read.
std::string HookStateOf(const container::Spec& spec, const BundleState& state,
                        const std::string& status);
// With its cgroup; FAILED_PRECONDITION while it runs, unless `force` kills it first.
absl::Status DeleteContainer(const Globals& globals, const BundleState& state, bool force);

}  // namespace darse::ocitool
