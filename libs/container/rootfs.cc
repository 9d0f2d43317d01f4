#include "libs/container/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/failure.h"
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

bool IsKernelFileSystem(const std::string& type) { return type == "proc" || type == "sysfs"; }

absl::Status ApplyMountAttributes(int mount, const mnt::Options& options, bool bind) {
  // A new file system had `set` when it was made.
  if (bind) RETURN_IF_ERROR(mnt::SetAttributes(mount, options.set, options.clear, 0, false));
  RETURN_IF_ERROR(
      mnt::SetAttributes(mount, options.set_recursive, options.clear_recursive, 0, true));
  // The copy of a mount belongs to the peer group of the original: cut it off unless asked
  // otherwise.
  uint64_t propagation = options.propagation;
  bool recursive = options.propagation_recursive;
  if (propagation == 0 && bind) {
    propagation = MS_PRIVATE;
    recursive = true;
  }
  return mnt::SetAttributes(mount, 0, 0, propagation, recursive);
}

bool IsProcfs(int fd) {
  struct statfs where;
  return fstatfs(fd, &where) == 0 && where.f_type == PROC_SUPER_MAGIC;
}

// What runc lets be replaced: figures that lxcfs and others make fit the container.
constexpr const char* kProcFigures[] = {"proc/cpuinfo",
                                        "proc/diskstats",
                                        "proc/meminfo",
                                        "proc/stat",
                                        "proc/swaps",
                                        "proc/uptime",
                                        "proc/loadavg",
                                        "proc/slabinfo",
                                        "proc/net/dev",
                                        "proc/sys/kernel/ns_last_pid",
                                        "proc/sys/crypto/fips_enabled"};

// Labels, limits and settings are written to /proc and much of it is masked: what is there must be
// the kernel's (CVE-2019-16884). Looks at the file systems themselves, whatever names led there.
absl::Status CheckProc(const MountEntry& entry, int mount, int target) {
  std::string place = mnt::CleanRelative(entry.destination);
  if (place == "proc") {
    if (IsProcfs(mount)) return absl::OkStatus();
    return absl::PermissionDeniedError("only procfs may be mounted at /proc");
  }
  if (!IsProcfs(target)) return absl::OkStatus();
  bool figure =
      std::find(std::begin(kProcFigures), std::end(kProcFigures), place) != std::end(kProcFigures);
  if (entry.options.bind && figure) return absl::OkStatus();
  return absl::PermissionDeniedError("nothing may be mounted inside /proc");
}

absl::Status MountBind(const MountEntry& entry, int root) {
  struct stat source;
  if (stat(entry.source.c_str(), &source) < 0) {
    return SyscallError(errno, absl::StrCat("bind ", entry.source));
  }
  NodeKind kind = S_ISDIR(source.st_mode) ? NodeKind::kDirectory : NodeKind::kFile;
  ASSIGN_OR_RETURN(UniqueFd mount,
                   mnt::CloneMount(AT_FDCWD, entry.source, entry.options.recursive));
  ASSIGN_OR_RETURN(UniqueFd target, mnt::EnsureInRoot(root, entry.destination, kind, 0755));
  RETURN_IF_ERROR(CheckProc(entry, mount.get(), target.get()));
  RETURN_IF_ERROR(ApplyMountAttributes(mount.get(), entry.options, /*bind=*/true));
  return mnt::MoveMount(mount.get(), target.get());
}

// v1: a tmpfs with one directory a hierarchy. v2: the cgroup itself.
absl::Status MountCgroups(const MountEntry& entry, const RootfsOptions& options, int root) {
  if (options.cgroup_directories.empty()) {
    return absl::UnimplementedError("cgroups: none are mounted on this host");
  }
  ASSIGN_OR_RETURN(UniqueFd target,
                   mnt::EnsureInRoot(root, entry.destination, NodeKind::kDirectory, 0755));
  auto unified = options.cgroup_directories.find("");
  if (unified != options.cgroup_directories.end()) {
    ASSIGN_OR_RETURN(UniqueFd mount, mnt::CloneMount(AT_FDCWD, unified->second, false));
    RETURN_IF_ERROR(ApplyMountAttributes(mount.get(), entry.options, /*bind=*/true));
    return mnt::MoveMount(mount.get(), target.get());
  }
  ASSIGN_OR_RETURN(UniqueFd tmpfs,
                   mnt::MakeMount("tmpfs", "cgroup", {{"mode", "755"}, {"size", "64k"}},
                                  entry.options.set & ~uint64_t{MOUNT_ATTR_RDONLY}));
  RETURN_IF_ERROR(mnt::MoveMount(tmpfs.get(), target.get()));
  for (const auto& [name, directory] : options.cgroup_directories) {
    if (mkdirat(tmpfs.get(), name.c_str(), 0755) < 0) return SyscallError(errno, "mkdir " + name);
    ASSIGN_OR_RETURN(UniqueFd mount, mnt::CloneMount(AT_FDCWD, directory, false));
    RETURN_IF_ERROR(ApplyMountAttributes(mount.get(), entry.options, /*bind=*/true));
    ASSIGN_OR_RETURN(UniqueFd below,
                     mnt::OpenInRoot(tmpfs.get(), name, O_PATH | O_DIRECTORY, 0, false));
    RETURN_IF_ERROR(mnt::MoveMount(mount.get(), below.get()));
    // Hierarchies that hold several controllers ("cpu,cpuacct") are found by each name.
    if (!absl::StrContains(name, ',')) continue;
    for (size_t begin = 0, end; begin < name.size(); begin = end + 1) {
      end = std::min(name.find(',', begin), name.size());
      std::string link = name.substr(begin, end - begin);
      if (symlinkat(name.c_str(), tmpfs.get(), link.c_str()) < 0) {
        return SyscallError(errno, absl::StrCat("symlink ", link));
      }
    }
  }
  return mnt::SetAttributes(tmpfs.get(), entry.options.set, entry.options.clear, 0, false);
}

absl::Status MountNew(const MountEntry& entry, int root) {
  if (entry.options.copy_up)
    return absl::UnimplementedError("option tmpcopyup: Darse does not do this yet");
  // procfs and sysfs behind a symlink of the image would put their files where a mask does not
  // reach.
  bool follow = !IsKernelFileSystem(entry.type);
  ASSIGN_OR_RETURN(UniqueFd target,
                   mnt::EnsureInRoot(root, entry.destination, NodeKind::kDirectory, 0755, follow));
  mnt::Data data = entry.options.data;
  bool tmpfs_keeps_mode = entry.type == "tmpfs";
  for (const auto& [key, value] : data) tmpfs_keeps_mode &= key != "mode";
  struct stat below;
  if (tmpfs_keeps_mode && fstat(target.get(), &below) == 0) {
    // As everyone expects: a tmpfs looks like the directory that it hides.
    char mode[8];
    snprintf(mode, sizeof(mode), "%o", below.st_mode & 07777);
    data.emplace_back("mode", mode);
  }
  ASSIGN_OR_RETURN(UniqueFd mount,
                   mnt::MakeMount(entry.type, entry.source, data, entry.options.set));
  RETURN_IF_ERROR(CheckProc(entry, mount.get(), target.get()));
  RETURN_IF_ERROR(mnt::MoveMount(mount.get(), target.get()));
  return ApplyMountAttributes(mount.get(), entry.options, /*bind=*/false);
}

absl::Status MountOne(const MountEntry& entry, const RootfsOptions& options, int root) {
  if (entry.options.bind) return MountBind(entry, root);
  if (entry.type == "cgroup" || entry.type == "cgroup2") return MountCgroups(entry, options, root);
  return MountNew(entry, root);
}

mode_t FileType(char type) { return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR; }

absl::Status MakeDevice(const DeviceNode& device, int root) {
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

absl::Status LinkInDev(int dev, const char* to, const char* name) {
  if (symlinkat(to, dev, name) == 0) return absl::OkStatus();
  if (errno != EEXIST) return SyscallError(errno, absl::StrCat("symlink /dev/", name));
  return absl::OkStatus();
}

absl::Status MakeDevices(const Spec& spec, int root) {
  auto binds_dev = [](const MountEntry& entry) {
    return entry.options.bind && mnt::CleanRelative(entry.destination) == "dev";
  };
  // The host's /dev has all of it, and is not ours to change.
  if (std::any_of(spec.mounts.begin(), spec.mounts.end(), binds_dev)) return absl::OkStatus();
  for (const DeviceNode& device : kDefaultDevices) RETURN_IF_ERROR(MakeDevice(device, root));
  for (const DeviceNode& device : spec.devices) RETURN_IF_ERROR(MakeDevice(device, root));
  ASSIGN_OR_RETURN(UniqueFd dev, mnt::EnsureInRoot(root, "/dev", NodeKind::kDirectory, 0755));
  for (const auto& [to, name] : kLinks) RETURN_IF_ERROR(LinkInDev(dev.get(), to, name));
  // The image's own ptmx would open the host's terminals.
  if (unlinkat(dev.get(), "ptmx", 0) < 0 && errno != ENOENT) {
    return SyscallError(errno, "replace /dev/ptmx");
  }
  return LinkInDev(dev.get(), "pts/ptmx", "ptmx");
}

// One file of /proc/sys, on a true procfs: anything mounted over it is refused.
absl::Status WriteSysctl(int root, const std::string& key, const std::string& value) {
  std::string path = absl::StrCat("proc/sys/", absl::StrReplaceAll(key, {{".", "/"}}));
  ASSIGN_OR_RETURN(UniqueFd file, mnt::OpenInRoot(root, path, O_WRONLY, 0, /*follow=*/false));
  if (!IsProcfs(file.get())) {
    return absl::FailedPreconditionError(absl::StrCat("sysctl ", key, ": /proc is not procfs"));
  }
  if (write(file.get(), value.data(), value.size()) < 0) {
    return SyscallError(errno, absl::StrCat("sysctl ", key, "=", value));
  }
  return absl::OkStatus();
}

absl::Status MakeReadOnly(int root, const std::string& path) {
  absl::StatusOr<UniqueFd> target = mnt::OpenInRoot(root, mnt::CleanRelative(path), O_PATH);
  if (!target.ok()) {
    int error = ErrnoOf(target.status());
    return error == ENOENT || error == ENOTDIR ? absl::OkStatus() : target.status();
  }
  ASSIGN_OR_RETURN(UniqueFd mount, mnt::CloneMount(target->get(), "", /*recursive=*/true));
  RETURN_IF_ERROR(mnt::SetAttributes(mount.get(), MOUNT_ATTR_RDONLY, 0, 0, false));
  return mnt::MoveMount(mount.get(), target->get());
}

absl::StatusOr<UniqueFd> OpenTrueNull(int root) {
  ASSIGN_OR_RETURN(UniqueFd null, mnt::OpenInRoot(root, "dev/null", O_PATH | O_NOFOLLOW, 0, false));
  struct stat node;
  if (fstat(null.get(), &node) < 0 || !S_ISCHR(node.st_mode) || node.st_rdev != makedev(1, 3)) {
    return absl::FailedPreconditionError("/dev/null of the container is not the null device");
  }
  return null;
}

absl::Status Mask(int root, const std::string& path) {
  absl::StatusOr<UniqueFd> target = mnt::OpenInRoot(root, mnt::CleanRelative(path), O_PATH);
  if (!target.ok()) {
    int error = ErrnoOf(target.status());
    return error == ENOENT || error == ENOTDIR ? absl::OkStatus() : target.status();
  }
  struct stat node;
  if (fstat(target->get(), &node) < 0) return SyscallError(errno, absl::StrCat("stat ", path));
  if (S_ISDIR(node.st_mode)) {
    ASSIGN_OR_RETURN(
        UniqueFd empty,
        mnt::MakeMount("tmpfs", "tmpfs", {{"size", "4k"}, {"nr_inodes", "1"}}, MOUNT_ATTR_RDONLY));
    return mnt::MoveMount(empty.get(), target->get());
  }
  ASSIGN_OR_RETURN(UniqueFd null, OpenTrueNull(root));
  ASSIGN_OR_RETURN(UniqueFd mount, mnt::CloneMount(null.get(), "", false));
  return mnt::MoveMount(mount.get(), target->get());
}

}  // namespace

absl::StatusOr<UniqueFd> PrepareRoot(const Spec& spec, const RootfsOptions& options) {
  // What the host mounts may come in, where a bind asks for it; nothing of ours goes out.
  (void)spec;
  if (mount("", "/", nullptr, MS_SLAVE | MS_REC, nullptr) < 0) {
    return SyscallError(errno, "keep mounts from the host");
  }
  UniqueFd mounted;
  if (options.overlay.lower_dirs.empty()) {
    ASSIGN_OR_RETURN(mounted, mnt::CloneMount(AT_FDCWD, options.root_path, /*recursive=*/true));
    RETURN_IF_ERROR(mnt::SetAttributes(mounted.get(), 0, 0, MS_PRIVATE, false));
  } else {
    ASSIGN_OR_RETURN(mounted, mnt::MakeOverlay(options.overlay));
  }
  UniqueFd place(open(options.root_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place.valid()) return SyscallError(errno, absl::StrCat("open ", options.root_path));
  RETURN_IF_ERROR(mnt::MoveMount(mounted.get(), place.get()));
  return mounted;
}

absl::Status PopulateRoot(const Spec& spec, const RootfsOptions& options, int root) {
  for (const MountEntry& entry : spec.mounts) {
    absl::Status done = MountOne(entry, options, root);
    RETURN_IF_ERROR(AtStep("mount", Annotate(done, absl::StrCat("mount at ", entry.destination))));
  }
  return AtStep("device", MakeDevices(spec, root));
}

absl::Status BindConsole(int root, int terminal) {
  // Both ends by fd: neither the console's name nor the terminal's is looked up twice.
  ASSIGN_OR_RETURN(UniqueFd mount, mnt::CloneMount(terminal, "", false));
  ASSIGN_OR_RETURN(UniqueFd target, mnt::EnsureInRoot(root, "/dev/console", NodeKind::kFile, 0600,
                                                      /*follow=*/false));
  return mnt::MoveMount(mount.get(), target.get());
}

absl::Status EnterRoot(const Spec& spec, const RootfsOptions& options, int root) {
  if (fchdir(root) < 0) return SyscallError(errno, "enter the root");
  if (options.no_pivot) {
    if (mount(".", "/", nullptr, MS_MOVE, nullptr) < 0) return SyscallError(errno, "move the root");
    if (chroot(".") < 0) return SyscallError(errno, "chroot");
  } else {
    // The old root ends up on top of the new one, under the same name; taking it off leaves the new
    // one.
    if (syscall(SYS_pivot_root, ".", ".") < 0) return SyscallError(errno, "pivot_root");
    if (umount2(".", MNT_DETACH) < 0) return SyscallError(errno, "drop the host's tree");
  }
  if (chdir("/") < 0) return SyscallError(errno, "chdir /");
  uint64_t flags = MS_PRIVATE;
  if (spec.root_propagation.has_value()) {
    flags = spec.root_propagation->propagation |
            (spec.root_propagation->propagation_recursive ? uint64_t{MS_REC} : 0);
  }
  if (mount("", "/", nullptr, flags, nullptr) < 0) return SyscallError(errno, "propagation of /");
  return absl::OkStatus();
}

absl::Status SealRoot(const Spec& spec) {
  UniqueFd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return SyscallError(errno, "open /");
  for (const auto& [key, value] : spec.sysctl) {
    RETURN_IF_ERROR(AtStep("sysctl", WriteSysctl(root.get(), key, value)));
  }
  for (const std::string& path : spec.readonly_paths) {
    RETURN_IF_ERROR(AtStep("mount", Annotate(MakeReadOnly(root.get(), path), "read-only " + path)));
  }
  for (const std::string& path : spec.masked_paths) {
    RETURN_IF_ERROR(AtStep("mount", Annotate(Mask(root.get(), path), "mask " + path)));
  }
  if (spec.root_readonly) {
    RETURN_IF_ERROR(
        AtStep("mount", mnt::SetAttributes(root.get(), MOUNT_ATTR_RDONLY, 0, 0, false)));
  }
  return absl::OkStatus();
}

}  // namespace darse::container
