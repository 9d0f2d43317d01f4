// OCI hooks: programs of the host that get the container's state on stdin.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "libs/container/config/spec.h"

namespace darse::container {

// One after the other; the first that fails or outlasts its timeout (then it is killed) ends it.
// Only in a process with one thread.
absl::Status RunHooks(const std::vector<Hook>& hooks, const std::string& state_json);

// OCI's state object.
struct HookState {
  std::string oci_version, id, status, bundle;
  int64_t pid = 0;
  std::map<std::string, std::string> annotations;
};
std::string EncodeHookState(const HookState& state);

}  // namespace darse::container
