// Makes a container's first process from a config (Launch), and a further one inside it (Join).
// Only in a process with one thread: both clone.
//
// The caller's child, or with `as_sibling` its parent's, is the container's process itself; nothing
// of ours stays beside it. An error carries step, errno and reason (failure.h), and everything
// begun is undone.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "libs/container/config/spec.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/mount/overlay.h"

namespace darse::container {

struct LaunchOptions {
  std::string id;
  std::string bundle;  // absolute: hooks are told, and a relative root.path is below it
  // Mounted at root.path; without lower_dirs root.path is the root itself.
  mnt::OverlaySource overlay;
  // With a user namespace: the root's files keep the ids of its inside on disk.
  bool id_map_root = false;
  // Whoever made the user namespace that is joined says that the config has its maps; looking takes
  // a process in it.
  bool id_maps_are_known = false;
  // Without a terminal. -1: /dev/null.
  int stdio[3] = {-1, -1, -1};
  bool as_sibling = false;
  // The caller is in the container's cgroup (v1), and so is what it clones.
  bool in_cgroup = false;
  // Size of the terminal; 0: config's, else the kernel's.
  uint32_t columns = 0, rows = 0;
  // A listening SOCK_SEQPACKET: the process waits there for one connection and an 'S' before it
  // executes anything, and answers there if that fails; end-of-file means it worked.
  int gate = -1;
  // A socket: the process goes on once a byte came there. Until then it may be made, beside whoever
  // completes the namespaces that it joins; end-of-file means that they are not.
  int clearance = -1;
  // Fds from 3 on that the process gets.
  int preserve_fds = 0;
  bool no_pivot = false;
  bool no_new_keyring = false;
  // A limit that this host cannot set is FAILED_PRECONDITION, not a warning.
  bool all_limits = false;
  // A directory of compiled seccomp filters (filter_cache.h); empty: none.
  std::string seccomp_cache;
};

struct Launched {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd terminal;  // master
  std::vector<std::string> warnings;
  // To be closed after somebody was told.
  std::vector<UniqueFd> spent;
};

// `cgroups` may be null: then the process stays in the caller's. The cgroup is made if it is
// missing.
absl::StatusOr<Launched> Launch(const Spec& spec, cgroup::CgroupDriver* cgroups,
                                const LaunchOptions& options);

// The directories of the cgroup `path` that a container sees below its /sys/fs/cgroup, by name;
// v2's only one has none.
absl::StatusOr<std::map<std::string, std::string>> CgroupDirectories(
    const cgroup::CgroupDriver& cgroups, const std::string& path);

// A config's device list says what is allowed beyond what every container needs, as in runc: making
// nodes, and using null, zero, full, random, urandom, tty, console, ptmx and pts.
cgroup::Limits WithDefaultDevices(cgroup::Limits limits);

struct JoinOptions {
  std::string id;
  std::string bundle;  // a seccomp agent is told
  pid_t target = 0;    // the container's first process
  Process process;
  int stdio[3] = {-1, -1, -1};
  bool as_sibling = false;
  uint32_t columns = 0, rows = 0;
  int preserve_fds = 0;
  std::string seccomp_cache;
};
// The new process gets all namespaces, the cgroup and the seccomp filter of the container.
absl::StatusOr<Launched> Join(const Spec& spec, cgroup::CgroupDriver* cgroups,
                              const JoinOptions& options);

}  // namespace darse::container
