#include "libs/container/mount_sources.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/devices.h"
#include "libs/container/failure.h"
#include "libs/linux/mount/mount_calls.h"
#include "libs/linux/mount/root_path.h"
#include "libs/linux/namespace/user_namespace.h"

namespace darse::container {
namespace {

// Namespaces that carry id maps, one for each map that is asked for.
class IdMapNamespaces {
 public:
  // `ids` may be null; else it must outlive this.
  explicit IdMapNamespaces(const ContainerIds* ids) : ids_(ids) {}

  absl::StatusOr<int> Get(const ns::IdMaps& maps) {
    if (ids_ != nullptr && ids_->user_namespace >= 0 && maps == ids_->maps) {
      return ids_->user_namespace;
    }
    for (const auto& [known, fd] : made_) {
      if (known == maps) return fd.get();
    }
    ASSIGN_OR_RETURN(UniqueFd fd, ns::MakeUserNamespace(maps));
    made_.emplace_back(maps, std::move(fd));
    return made_.back().second.get();
  }

 private:
  const ContainerIds* ids_;
  std::vector<std::pair<ns::IdMaps, UniqueFd>> made_;
};

absl::StatusOr<UniqueFd> OpenRoot(const RootSource& root, const ContainerIds* ids,
                                  IdMapNamespaces& namespaces, std::vector<UniqueFd>& spent) {
  mnt::OverlaySource overlay = root.overlay;
  if (root.id_map && ids != nullptr) {
    ASSIGN_OR_RETURN(overlay.id_map, namespaces.Get(ids->maps));
  }
  if (!overlay.lower_dirs.empty()) return mnt::MakeOverlayKeeping(overlay, spent);
  ASSIGN_OR_RETURN(UniqueFd mount, mnt::CloneMount(AT_FDCWD, root.path, /*recursive=*/true));
  RETURN_IF_ERROR(mnt::SetAttributes(mount.get(), 0, 0, MS_PRIVATE, false));
  if (overlay.id_map >= 0) {
    RETURN_IF_ERROR(mnt::SetIdMap(mount.get(), overlay.id_map, /*recursive=*/false));
  }
  return mount;
}

// Mounts of the host may come in where "slave" or "shared" asks for it. Ours go out only where
// linux.rootfsPropagation is shared as well, and never out of a user namespace.
bool GoesOut(const Spec& spec, const MountEntry& entry, const ContainerIds* ids) {
  return ids == nullptr && entry.options.propagation == MS_SHARED &&
         spec.root_propagation.has_value() && spec.root_propagation->propagation == MS_SHARED;
}

absl::StatusOr<UniqueFd> OpenBind(const Spec& spec, const MountEntry& entry,
                                  const ContainerIds* ids, IdMapNamespaces& namespaces) {
  ASSIGN_OR_RETURN(UniqueFd mount,
                   mnt::CloneMount(AT_FDCWD, entry.source, entry.options.recursive));
  if (!GoesOut(spec, entry, ids)) {
    RETURN_IF_ERROR(mnt::SetAttributes(mount.get(), 0, 0, MS_SLAVE, true));
  }
  if (!entry.options.id_map) return mount;
  const ns::IdMaps& wanted = entry.id_maps.empty() ? ids->maps : entry.id_maps;
  ASSIGN_OR_RETURN(int id_map, namespaces.Get(wanted));
  absl::Status mapped = mnt::SetIdMap(mount.get(), id_map, entry.options.id_map_recursive);
  if (ErrnoOf(mapped) == EINVAL) {
    return Annotate(mapped, "idmap: the kernel or the file system has no id-mapped mounts");
  }
  RETURN_IF_ERROR(mapped);
  return mount;
}

absl::StatusOr<UniqueFd> MakeDev(const Spec& spec, const MountEntry& entry,
                                 const ns::IdMaps& maps) {
  mnt::Data data = entry.options.data;
  bool has_mode = std::any_of(data.begin(), data.end(),
                              [](const auto& option) { return option.first == "mode"; });
  if (!has_mode) data.emplace_back("mode", "755");
  if (!spec.mount_label.empty()) data.emplace_back("context", spec.mount_label);
  ASSIGN_OR_RETURN(UniqueFd mount, mnt::MakeMount("tmpfs", entry.source, data, entry.options.set));
  RETURN_IF_ERROR(FillDev(spec, mount.get(), maps));
  return mount;
}

}  // namespace

absl::StatusOr<MountSources> OpenMountSources(const Spec& spec, const RootSource& root,
                                              const ContainerIds* ids, bool may_make_nodes) {
  MountSources sources;
  IdMapNamespaces namespaces(ids);
  absl::StatusOr<UniqueFd> opened = OpenRoot(root, ids, namespaces, sources.spent);
  RETURN_IF_ERROR(AtStep("rootfs", opened.status()));
  sources.root = *std::move(opened);
  sources.mounts.resize(spec.mounts.size());
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const MountEntry& entry = spec.mounts[i];
    bool is_dev = entry.type == "tmpfs" && mnt::CleanRelative(entry.destination) == "dev";
    absl::StatusOr<UniqueFd> source;
    if (entry.options.bind) {
      source = OpenBind(spec, entry, ids, namespaces);
    } else if (is_dev && ids != nullptr && may_make_nodes && !sources.has_devices) {
      source = MakeDev(spec, entry, ids->maps);
      // Root of a user namespace itself, after all: the host's nodes are bound inside.
      if (ErrnoOf(source.status()) == EPERM) continue;
      sources.has_devices = true;
    } else {
      continue;
    }
    RETURN_IF_ERROR(
        AtStep("mount", Annotate(source.status(), absl::StrCat("mount at ", entry.destination))));
    sources.mounts[i] = *std::move(source);
  }
  return sources;
}

}  // namespace darse::container
