#include "libs/linux/namespace/namespace.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"

namespace darse::ns {
namespace {

struct Kind {
  absl::string_view oci_name;
  absl::string_view proc_name;
  uint64_t flag;
};

constexpr Kind kKinds[] = {
    {"user", "user", CLONE_NEWUSER},       {"mount", "mnt", CLONE_NEWNS},
    {"pid", "pid", CLONE_NEWPID},          {"network", "net", CLONE_NEWNET},
    {"ipc", "ipc", CLONE_NEWIPC},          {"uts", "uts", CLONE_NEWUTS},
    {"cgroup", "cgroup", CLONE_NEWCGROUP}, {"time", "time", kTime},
};

}  // namespace

absl::StatusOr<uint64_t> Flag(absl::string_view oci_name) {
  for (const Kind& kind : kKinds) {
    if (kind.oci_name == oci_name) return kind.flag;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("namespace \"", oci_name, "\": Linux has none of that name"));
}

absl::string_view ProcName(uint64_t flag) {
  for (const Kind& kind : kKinds) {
    if (kind.flag == flag) return kind.proc_name;
  }
  return "";
}

bool KernelHas(uint64_t flag) {
  std::string path = absl::StrCat("/proc/self/ns/", ProcName(flag));
  return access(path.c_str(), F_OK) == 0;
}

absl::StatusOr<Cloned> Clone(const CloneOptions& options) {
  int pidfd = -1;
  clone_args args = {};
  args.flags = options.flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  if (options.as_sibling) {
    // The signal is then the one that our own parent chose for us.
    args.flags |= CLONE_PARENT;
  } else {
    args.exit_signal = SIGCHLD;
  }
  if (options.into_cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(options.into_cgroup);
  }
  long pid = syscall(SYS_clone3, &args, sizeof(args));
  // Under a container's own filter clone3 does not exist; a plain fork is all that is asked for
  // there.
  if (pid < 0 && errno == ENOSYS && options.flags == 0 && !options.as_sibling) {
    pid = fork();
    if (pid > 0) pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  }
  if (pid < 0) return SyscallError(errno, "clone3");
  Cloned cloned;
  cloned.pid = static_cast<pid_t>(pid);
  if (pid > 0) cloned.pidfd.Reset(pidfd);
  return cloned;
}

absl::StatusOr<UniqueFd> OpenPidFd(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) return SyscallError(errno, absl::StrCat("open process ", pid));
  return fd;
}

absl::Status Join(int fd, uint64_t flags) {
  if (setns(fd, static_cast<int>(flags)) < 0) return SyscallError(errno, "setns");
  return absl::OkStatus();
}

absl::Status JoinAll(std::vector<std::pair<UniqueFd, uint64_t>>& joins) {
  auto join = [](const std::pair<UniqueFd, uint64_t>& one) {
    return Annotate(Join(one.first.get(), one.second),
                    absl::StrCat("join the ", ProcName(one.second), " namespace"));
  };
  std::erase_if(joins,
                [&](const auto& one) { return one.second != CLONE_NEWUSER && join(one).ok(); });
  std::stable_partition(joins.begin(), joins.end(),
                        [](const auto& one) { return one.second == CLONE_NEWUSER; });
  for (const auto& one : joins) RETURN_IF_ERROR(join(one));
  joins.clear();
  return absl::OkStatus();
}

}  // namespace darse::ns
