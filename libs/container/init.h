// The child's half of a start: from clone to execve. Never returns.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/unique_fd.h"
#include "libs/container/config/spec.h"
#include "libs/container/launch.h"
#include "libs/container/net_devices.h"
#include "libs/container/rootfs.h"
#include "libs/linux/seccomp/seccomp_filter.h"

namespace darse::container {

struct InitPlan {
  const Spec* spec = nullptr;
  const LaunchOptions* options = nullptr;
  RootfsOptions rootfs;
  // Where the mounts come from if the starter has no rights to open them.
  std::optional<RootSource> root_source;
  std::vector<std::pair<UniqueFd, uint64_t>> joins;  // namespaces to enter, with their flags
  uint64_t new_namespaces = 0;                       // CLONE_NEW…, to clone with
  bool new_cgroup_namespace = false;
  std::vector<MovingInterface> interfaces;
  std::optional<seccomp::Filter> filter;
  bool runtime_hooks = false;  // ask the starter to run them
  std::string hook_state;      // for the hooks that run inside
};
// Not to be looked into by what is in the namespaces already; but who may map ids only by newuidmap
// has to leave its own new process open until then.
inline bool StaysClosed(const InitPlan& plan) {
  return geteuid() == 0 || (plan.new_namespaces & CLONE_NEWUSER) == 0;
}
[[noreturn]] void RunInit(InitPlan& plan, int sync);

struct ExecPlan {
  const Process* process = nullptr;
  const JoinOptions* options = nullptr;
  bool in_user_namespace = false;
  std::optional<MemoryPolicy> memory_policy;
  std::optional<seccomp::Filter> filter;
};
// Already inside the namespaces.
[[noreturn]] void RunExec(ExecPlan& plan, int sync);

}  // namespace darse::container
