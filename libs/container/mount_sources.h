// What a container's mounts are made of, opened with the rights of whoever calls and attached
// nowhere yet. With a user namespace that is the starter: the container's own process, whose root
// is nobody on the host, then only attaches them. A starter without rights leaves it to that
// process, which may do it in a user namespace of its own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "libs/container/config/spec.h"
#include "libs/linux/mount/overlay.h"
#include "libs/linux/namespace/id_maps.h"

namespace darse::container {

struct RootSource {
  mnt::OverlaySource overlay;  // no lower_dirs: the root path is bound onto itself
  std::string path;            // absolute
  // Its files keep the ids of the container's inside on disk.
  bool id_map = false;
};

// Of the container's user namespace.
struct ContainerIds {
  ns::IdMaps maps;
  int user_namespace = -1;  // if it exists already
};

struct MountSources {
  UniqueFd root;
  // One for each of spec.mounts, invalid where the container makes the file system itself.
  std::vector<UniqueFd> mounts;
  // The tmpfs for /dev is among them, with the nodes of all devices below /dev: in a file system of
  // a user namespace the kernel honours none.
  bool has_devices = false;
  // Nobody's any more; closed when there is time (mnt::MakeOverlayKeeping).
  std::vector<UniqueFd> spent;
};

// `ids`: null without a user namespace. `may_make_nodes`: this process may mknod. Errors carry
// their step.
absl::StatusOr<MountSources> OpenMountSources(const Spec& spec, const RootSource& root,
                                              const ContainerIds* ids, bool may_make_nodes);

}  // namespace darse::container
