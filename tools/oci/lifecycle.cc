#include "tools/oci/lifecycle.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/hooks.h"
#include "libs/linux/resctrl/resctrl.h"

namespace darse::ocitool {
namespace {

using cgroup::CgroupDriver;
using container::Spec;

bool WaitUntilGone(const BundleState& state, int milliseconds) {
  for (int waited = 0; waited < milliseconds; waited += 2) {
    waitpid(static_cast<pid_t>(state.pid), nullptr, WNOHANG);
    if (ProcessStartTime(state.pid) != state.pid_start_time) return true;
    timespec pause = {.tv_sec = 0, .tv_nsec = 2'000'000};
    nanosleep(&pause, nullptr);
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string> TheId(const Flags& flags) {
  if (flags.positional.size() != 1) return absl::InvalidArgumentError("takes one container id");
  RETURN_IF_ERROR(StateDirectory::CheckId(flags.positional[0]));
  return flags.positional[0];
}

absl::StatusOr<std::string> Absolute(const std::string& path) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) return SyscallError(errno, path);
  return std::string(resolved);
}

absl::Status WritePidFile(const Flags& flags, pid_t pid) {
  std::string path = flags.Value("pid-file");
  if (path.empty()) return absl::OkStatus();
  return WriteFile(path, absl::StrCat(pid));
}

std::string HookStateOf(const Spec& spec, const BundleState& state, const std::string& status) {
  return container::EncodeHookState({.oci_version = spec.oci_version,
                                     .id = state.id,
                                     .status = status,
                                     .bundle = state.bundle,
                                     .pid = status == "stopped" ? 0 : state.pid,
                                     .annotations = spec.annotations});
}

absl::Status DeleteContainer(const Globals& globals, const BundleState& state, bool force) {
  StateDirectory states(globals.root);
  ASSIGN_OR_RETURN(std::unique_ptr<CgroupDriver> cgroups, OpenCgroups(globals, state));
  std::string status = states.Status(state, cgroups.get());
  // A created container has run nothing of the user's: it may go, as with runc.
  if (status != "stopped" && status != "created" && !force) {
    return absl::FailedPreconditionError(
        absl::StrCat("delete ", state.id, ": the container is ", status));
  }
  if (status != "stopped") {
    cgroups->KillAll(state.cgroup_path).IgnoreError();
    kill(static_cast<pid_t>(state.pid), SIGKILL);
    if (!WaitUntilGone(state, 10'000)) {
      return absl::DeadlineExceededError(absl::StrCat("delete ", state.id, ": it does not die"));
    }
  } else if (!state.own_pid_namespace) {
    cgroups->KillAll(state.cgroup_path).IgnoreError();
  }
  RETURN_IF_ERROR(cgroups->Delete(state.cgroup_path));
  absl::StatusOr<Spec> spec = states.ReadSpec(state.id);
  states.Remove(state.id);
  RETURN_IF_ERROR(spec.status());
  if (spec->intel_rdt.has_value()) {
    ASSIGN_OR_RETURN(std::string mount, resctrl::FindMount());
    RETURN_IF_ERROR(resctrl::Leave(mount, *spec->intel_rdt, state.id));
  }
  return container::RunHooks(spec->hooks.poststop, HookStateOf(*spec, state, "stopped"));
}

}  // namespace darse::ocitool
