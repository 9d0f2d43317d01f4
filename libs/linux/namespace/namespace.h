// Namespaces by their OCI names, and the system calls that make and join them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::ns {

inline constexpr uint64_t kTime = 0x80;  // CLONE_NEWTIME, which glibc's <sched.h> lacks

// "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time" -> CLONE_NEW…; INVALID_ARGUMENT
// otherwise.
absl::StatusOr<uint64_t> Flag(absl::string_view oci_name);
// CLONE_NEWNET -> "net": the file below /proc/<pid>/ns.
absl::string_view ProcName(uint64_t flag);
bool KernelHas(uint64_t flag);

struct CloneOptions {
  uint64_t flags = 0;       // CLONE_NEW…
  bool as_sibling = false;  // the child's parent is ours (CLONE_PARENT)
  int into_cgroup = -1;     // v2
};
struct Cloned {
  pid_t pid = 0;  // 0 in the child
  UniqueFd pidfd;
};
// As fork: only in a process with one thread.
absl::StatusOr<Cloned> Clone(const CloneOptions& options);

absl::StatusOr<UniqueFd> OpenPidFd(pid_t pid);
absl::Status Join(int fd, uint64_t flags);
// Namespaces by their flags, in the one order that works: who enters a user namespace has no rights
// over what belongs to another, so those come first that are joined now or never. Empties the list.
absl::Status JoinAll(std::vector<std::pair<UniqueFd, uint64_t>>& joins);

}  // namespace darse::ns
