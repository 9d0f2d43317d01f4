// What the start of a container's first process and that of a further one have in common: the
// starter's half of the talk (sync_socket.h), and what it looks up before.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/container/config/spec.h"
#include "libs/container/launch.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/namespace/id_maps.h"
#include "libs/linux/seccomp/seccomp_filter.h"

namespace darse::container {

// Empty without control groups.
absl::StatusOr<std::string> CgroupPath(const Spec& spec, const cgroup::CgroupDriver* cgroups,
                                       const std::string& id);
absl::StatusOr<std::optional<seccomp::Filter>> CompileFilter(const Spec& spec,
                                                             const std::string& cache);
absl::Status CheckSelinux(const Process& process, const std::string& mount_label);

void Reap(pid_t pid);
// Kills it; a sibling is reaped by its own parent.
void EndChild(pid_t pid, bool as_sibling);

// What to do at the child's letters.
struct Listening {
  const Process& process;
  const int (&stdio)[3];
  bool in_user_namespace;
  const ns::IdMaps* known_maps;                  // of that; null: to be read
  bool until_ready;                              // 'R' is the end, not end-of-file
  std::function<absl::Status(pid_t)> on_hooks;   // 'H'
  std::function<absl::Status(pid_t)> on_inside;  // 'P'
  std::function<absl::Status(int)> on_listener;  // 'L'
};

// Before 'G': does what the child would ask for at 'A', where it can be done by now (CanActEarly).
absl::Status ActEarly(const Listening& listening, Launched& launched);

// Hears the child out. OK: it executes (or waits at the gate).
absl::Status Listen(int sync, const Listening& listening, Launched& launched);

// The end of a process between: once it is `entered`, its clone goes on with `become`, and the
// starter hears of its pid or of what went wrong.
[[noreturn]] void CloneInside(int sync, absl::Status entered, uint64_t flags,
                              const std::function<void()>& become);

}  // namespace darse::container
