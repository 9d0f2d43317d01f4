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
#include "libs/container/copy_up.h"
#include "libs/container/devices.h"
#include "libs/container/failure.h"
#include "libs/linux/mount/mount_calls.h"
#include "libs/linux/mount/root_path.h"

namespace darse::container {
namespace {

using mnt::NodeKind;

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

absl::Status MountBind(const MountEntry& entry, UniqueFd mount, int root) {
  struct stat source;
  if (fstat(mount.get(), &source) < 0) {
    return SyscallError(errno, absl::StrCat("bind ", entry.source));
  }
  NodeKind kind = S_ISDIR(source.st_mode) ? NodeKind::kDirectory : NodeKind::kFile;
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

// sysfs shows the network namespace's devices: only the owner of that may mount a new one.
absl::StatusOr<UniqueFd> HostSysfs(const MountEntry& entry) {
  ASSIGN_OR_RETURN(UniqueFd mount, mnt::CloneMount(AT_FDCWD, "/sys", /*recursive=*/true));
  RETURN_IF_ERROR(ApplyMountAttributes(mount.get(), entry.options, /*bind=*/true));
  return mount;
}

// Those whose files have labels of their own, whatever is asked for, are left out.
bool TakesLabel(const std::string& type) { return !IsKernelFileSystem(type) && type != "mqueue"; }

absl::StatusOr<UniqueFd> MakeFileSystem(const MountEntry& entry, const std::string& mount_label,
                                        int target, const RootfsOptions& options) {
  mnt::Data data = entry.options.data;
  if (!mount_label.empty() && TakesLabel(entry.type)) data.emplace_back("context", mount_label);
  bool tmpfs_keeps_mode = entry.type == "tmpfs";
  for (const auto& [key, value] : data) tmpfs_keeps_mode &= key != "mode";
  struct stat below;
  if (tmpfs_keeps_mode && fstat(target, &below) == 0) {
    // As everyone expects: a tmpfs looks like the directory that it hides.
    char mode[8];
    snprintf(mode, sizeof(mode), "%o", below.st_mode & 07777);
    data.emplace_back("mode", mode);
  }
  uint64_t attributes = entry.options.set;
  if (entry.options.copy_up) attributes &= ~uint64_t{MOUNT_ATTR_RDONLY};
  absl::StatusOr<UniqueFd> made = mnt::MakeMount(entry.type, entry.source, data, attributes);
  if (ErrnoOf(made.status()) == EPERM && entry.type == "sysfs" && options.in_user_namespace) {
    return HostSysfs(entry);
  }
  return made;
}

absl::Status MountNew(const MountEntry& entry, UniqueFd mount, const std::string& mount_label,
                      const RootfsOptions& options, int root) {
  // procfs and sysfs behind a symlink of the image would put their files where a mask does not
  // reach.
  bool follow = !IsKernelFileSystem(entry.type);
  ASSIGN_OR_RETURN(UniqueFd target,
                   mnt::EnsureInRoot(root, entry.destination, NodeKind::kDirectory, 0755, follow));
  if (!mount.valid()) {
    ASSIGN_OR_RETURN(mount, MakeFileSystem(entry, mount_label, target.get(), options));
  }
  RETURN_IF_ERROR(CheckProc(entry, mount.get(), target.get()));
  if (entry.options.copy_up) {
    RETURN_IF_ERROR(CopyUp(target.get(), mount.get()));
    RETURN_IF_ERROR(mnt::SetAttributes(mount.get(), entry.options.set & MOUNT_ATTR_RDONLY, 0, 0,
                                       /*recursive=*/false));
  }
  RETURN_IF_ERROR(mnt::MoveMount(mount.get(), target.get()));
  return ApplyMountAttributes(mount.get(), entry.options, /*bind=*/false);
}

absl::Status MountOne(const Spec& spec, const MountEntry& entry, RootfsOptions& options,
                      UniqueFd source, int root) {
  if (entry.options.bind) return MountBind(entry, std::move(source), root);
  if (entry.type == "cgroup" || entry.type == "cgroup2") return MountCgroups(entry, options, root);
  return MountNew(entry, std::move(source), spec.mount_label, options, root);
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

absl::StatusOr<UniqueFd> PrepareRoot(RootfsOptions& options) {
  if (mount("", "/", nullptr, MS_SLAVE | MS_REC, nullptr) < 0) {
    return SyscallError(errno, "keep mounts from the host");
  }
  UniqueFd place(open(options.root_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place.valid() && errno == EACCES && options.in_user_namespace && !options.no_pivot) {
    // Directories on the way are for the host's root alone. Any place will do: over "/" it is in
    // nobody's way.
    place.Reset(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  if (!place.valid()) return SyscallError(errno, absl::StrCat("open ", options.root_path));
  RETURN_IF_ERROR(mnt::MoveMount(options.sources.root.get(), place.get()));
  return std::move(options.sources.root);
}

absl::Status PopulateRoot(const Spec& spec, RootfsOptions& options, int root) {
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const MountEntry& entry = spec.mounts[i];
    absl::Status done = MountOne(spec, entry, options, std::move(options.sources.mounts[i]), root);
    RETURN_IF_ERROR(AtStep("mount", Annotate(done, absl::StrCat("mount at ", entry.destination))));
  }
  NodeWay way = options.sources.has_devices ? NodeWay::kSkip
                : options.in_user_namespace ? NodeWay::kBind
                                            : NodeWay::kMake;
  return AtStep("device", MakeDevices(spec, root, way));
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
