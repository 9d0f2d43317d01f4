// Builds the file system of a container, in the container's own mount namespace, in this order:
//   PrepareRoot    mounts stop flowing out; the root is mounted
//   PopulateRoot   mounts of the config, devices, /dev links
//   EnterRoot      pivot; the host's tree is gone
//   SealRoot       sysctl, read-only and masked paths, read-only root: last, they would block the
//   rest
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "libs/container/config/spec.h"
#include "libs/container/mount_sources.h"

namespace darse::container {

struct RootfsOptions {
  std::string root_path;  // absolute
  MountSources sources;   // used up by PrepareRoot and PopulateRoot
  bool in_user_namespace = false;
  bool no_pivot = false;
  // Directories that are the container's own cgroups: name below /sys/fs/cgroup ("" on v2) ->
  // directory.
  std::map<std::string, std::string> cgroup_directories;
};

// An fd of the mounted root.
absl::StatusOr<UniqueFd> PrepareRoot(RootfsOptions& options);
absl::Status PopulateRoot(const Spec& spec, RootfsOptions& options, int root);
absl::Status EnterRoot(const Spec& spec, const RootfsOptions& options, int root);
absl::Status SealRoot(const Spec& spec);

// Binds the terminal onto /dev/console. Before EnterRoot drops nothing it needs, so at any time
// after PopulateRoot; `root` is the root then.
absl::Status BindConsole(int root, int terminal);

}  // namespace darse::container
