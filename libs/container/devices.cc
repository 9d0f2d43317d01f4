#include "libs/container/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/mount/mount_calls.h"
#include "libs/linux/mount/root_path.h"

namespace darse::container {
namespace {

using mnt::NodeKind;

constexpr DeviceNode kDefaultDevices[] = {
    {'c', "/dev/null", 1, 3}, {'c', "/dev/zero", 1, 5},   {'c', "/dev/full", 1, 7},
    {'c', "/dev/tty", 5, 0},  {'c', "/dev/random", 1, 8}, {'c', "/dev/urandom", 1, 9},
};

constexpr std::pair<const char*, const char*> kLinks[] = {
    {"/proc/self/fd", "fd"},
    {"/proc/self/fd/0", "stdin"},
    {"/proc/self/fd/1", "stdout"},
    {"/proc/self/fd/2", "stderr"},
};

mode_t FileType(char type) { return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR; }

absl::Status MakeNode(const DeviceNode& device, int root) {
  std::string clean = mnt::CleanRelative(device.path);
  size_t slash = clean.rfind('/');
  std::string parent_path = slash == std::string::npos ? "" : clean.substr(0, slash);
  std::string name = slash == std::string::npos ? clean : clean.substr(slash + 1);
  ASSIGN_OR_RETURN(UniqueFd parent,
                   mnt::EnsureInRoot(root, parent_path, NodeKind::kDirectory, 0755));
  dev_t number = makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
  mode_t type = FileType(device.type);
  for (int attempt = 0; mknodat(parent.get(), name.c_str(), type | device.mode, number) < 0;
       ++attempt) {
    if (errno != EEXIST || attempt > 0) {
      return SyscallError(errno, absl::StrCat("make device ", device.path));
    }
    struct stat there;
    bool same = fstatat(parent.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                (there.st_mode & S_IFMT) == type && there.st_rdev == number;
    if (same) break;
    if (unlinkat(parent.get(), name.c_str(), 0) < 0) {
      return SyscallError(errno, absl::StrCat("replace ", device.path));
    }
  }
  // By an fd of the node itself: a name can be swapped for a symlink.
  ASSIGN_OR_RETURN(UniqueFd node,
                   mnt::OpenInRoot(parent.get(), name, O_PATH | O_NOFOLLOW, 0, false));
  std::string by_fd = absl::StrCat("/proc/self/fd/", node.get());
  if (chmod(by_fd.c_str(), device.mode) < 0 || chown(by_fd.c_str(), device.uid, device.gid) < 0) {
    return SyscallError(errno, absl::StrCat("make device ", device.path));
  }
  return absl::OkStatus();
}

// Its mode and owner are the host's then.
absl::Status BindNode(const DeviceNode& device, int root) {
  absl::StatusOr<UniqueFd> source = mnt::CloneMount(AT_FDCWD, device.path, /*recursive=*/false);
  struct stat node = {};
  bool same = source.ok() && fstat(source->get(), &node) == 0 &&
              (node.st_mode & S_IFMT) == FileType(device.type) &&
              node.st_rdev ==
                  makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
  if (!same) {
    return absl::FailedPreconditionError(
        absl::StrCat("device ", device.path,
                     ": in a user namespace it can only be taken over from the host, which has no "
                     "such device of that name"));
  }
  RETURN_IF_ERROR(mnt::SetAttributes(source->get(), 0, 0, MS_PRIVATE, false));
  ASSIGN_OR_RETURN(UniqueFd target,
                   mnt::EnsureInRoot(root, device.path, NodeKind::kFile, 0644, /*follow=*/false));
  return mnt::MoveMount(source->get(), target.get());
}

absl::Status LinkInDev(int dev, const char* to, const char* name) {
  if (symlinkat(to, dev, name) == 0) return absl::OkStatus();
  if (errno != EEXIST) return SyscallError(errno, absl::StrCat("symlink /dev/", name));
  return absl::OkStatus();
}

template <typename Fn>
absl::Status ForEachDevice(const Spec& spec, Fn fn) {
  for (const DeviceNode& device : kDefaultDevices) RETURN_IF_ERROR(fn(device));
  for (const DeviceNode& device : spec.devices) RETURN_IF_ERROR(fn(device));
  return absl::OkStatus();
}

bool IsBelowDev(const DeviceNode& device) {
  return absl::StartsWith(mnt::CleanRelative(device.path), "dev/");
}

}  // namespace

absl::Status MakeDevices(const Spec& spec, int root, NodeWay way) {
  auto binds_dev = [](const MountEntry& entry) {
    return entry.options.bind && mnt::CleanRelative(entry.destination) == "dev";
  };
  // The host's /dev has all of it, and is not ours to change.
  if (std::any_of(spec.mounts.begin(), spec.mounts.end(), binds_dev)) return absl::OkStatus();
  RETURN_IF_ERROR(ForEachDevice(spec, [&](const DeviceNode& device) {
    if (way == NodeWay::kMake) return MakeNode(device, root);
    if (way == NodeWay::kSkip && IsBelowDev(device)) return absl::OkStatus();
    return BindNode(device, root);
  }));
  ASSIGN_OR_RETURN(UniqueFd dev, mnt::EnsureInRoot(root, "/dev", NodeKind::kDirectory, 0755));
  for (const auto& [to, name] : kLinks) RETURN_IF_ERROR(LinkInDev(dev.get(), to, name));
  // The image's own ptmx would open the host's terminals.
  if (unlinkat(dev.get(), "ptmx", 0) < 0 && errno != ENOENT) {
    return SyscallError(errno, "replace /dev/ptmx");
  }
  return LinkInDev(dev.get(), "pts/ptmx", "ptmx");
}

absl::Status FillDev(const Spec& spec, int dev, const ns::IdMaps& maps) {
  std::optional<uint32_t> uid = ns::ToHost(maps.uids, 0), gid = ns::ToHost(maps.gids, 0);
  if (!uid.has_value() || !gid.has_value()) {
    return absl::InvalidArgumentError("user or group 0 of the container is not mapped");
  }
  if (fchownat(dev, "", *uid, *gid, AT_EMPTY_PATH) < 0) return SyscallError(errno, "chown /dev");
  return ForEachDevice(spec, [&](DeviceNode device) -> absl::Status {
    if (!IsBelowDev(device)) return absl::OkStatus();
    device.path = std::string(absl::StripPrefix(mnt::CleanRelative(device.path), "dev/"));
    uid = ns::ToHost(maps.uids, device.uid);
    gid = ns::ToHost(maps.gids, device.gid);
    if (!uid.has_value() || !gid.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("device /dev/", device.path, ": its owner ",
                                                     device.uid, ":", device.gid,
                                                     " is not mapped in the user namespace"));
    }
    device.uid = *uid;
    device.gid = *gid;
    return MakeNode(device, dev);
  });
}

}  // namespace darse::container
