#include "libs/linux/mount/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/mount/fs_context.h"
#include "libs/linux/mount/mount_calls.h"

namespace darse::mnt {
namespace {

// The upper directory becomes a layer by itself: whatever the kernel's defaults are, it may not
// refer to the ones below.
constexpr const char* kPlainUpper[] = {"redirect_dir", "metacopy", "index"};

absl::StatusOr<UniqueFd> OpenPlace(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return SyscallError(errno, absl::StrCat("mount overlay: layer ", path));
  return fd;
}

absl::StatusOr<UniqueFd> CloneIdMapped(const std::string& path, int id_map) {
  ASSIGN_OR_RETURN(UniqueFd mount, CloneMount(AT_FDCWD, path, /*recursive=*/false));
  RETURN_IF_ERROR(Annotate(SetIdMap(mount.get(), id_map, /*recursive=*/false),
                           absl::StrCat("mount overlay: layer ", path)));
  return mount;
}

// Upper and work directory must be of one mount, so the directory that holds both is id-mapped.
absl::StatusOr<std::string> UpperHome(const OverlaySource& source) {
  std::string home = source.upper_dir.substr(0, source.upper_dir.rfind('/'));
  if (home.empty() || home != source.work_dir.substr(0, source.work_dir.rfind('/'))) {
    return absl::InvalidArgumentError(absl::StrCat("mount overlay: ", source.upper_dir, " and ",
                                                   source.work_dir,
                                                   " must lie in one directory for an id map"));
  }
  return home;
}

// Overlay does its own work (copying a file up, whiteouts) with the rights and ids of who mounted
// it, and those ids must have a place on an id-mapped disk: so it is mounted by root of the map,
// with all capabilities kept. `home` is root's on disk.
class MountingIds {
 public:
  MountingIds() = default;
  MountingIds(const MountingIds&) = delete;
  MountingIds& operator=(const MountingIds&) = delete;
  // Capabilities come back with user 0.
  ~MountingIds() {
    if (!taken_) return;
    setfsuid(static_cast<uid_t>(uid_before_));
    setfsgid(static_cast<gid_t>(gid_before_));
  }

  absl::Status Take(int home) {
    struct stat owner;
    if (fstat(home, &owner) < 0) return SyscallError(errno, "mount overlay: its owner");
    __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
    if (syscall(SYS_capget, &header, data) < 0) return SyscallError(errno, "capget");
    gid_before_ = setfsgid(owner.st_gid);
    uid_before_ = setfsuid(owner.st_uid);
    taken_ = true;
    // The change of the user has just taken some away.
    if (syscall(SYS_capset, &header, data) < 0) return SyscallError(errno, "capset");
    return absl::OkStatus();
  }

 private:
  int uid_before_ = 0, gid_before_ = 0;
  bool taken_ = false;
};

// Into a mount namespace of this thread's own, where id-mapped layers lie over what they are made
// of: before kernel 6.15 overlay takes no mount that is attached nowhere.
absl::Status EnterOwnNamespace(const OverlaySource& source) {
  if (unshare(CLONE_NEWNS) < 0) return SyscallError(errno, "mount overlay: new mount namespace");
  if (mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
    return SyscallError(errno, "mount overlay: keep mounts to ourselves");
  }
  if (source.id_map < 0) return absl::OkStatus();
  std::vector<std::string> mapped_dirs = source.lower_dirs;
  if (!source.upper_dir.empty()) {
    ASSIGN_OR_RETURN(mapped_dirs.emplace_back(), UpperHome(source));
  }
  for (const std::string& dir : mapped_dirs) {
    ASSIGN_OR_RETURN(UniqueFd mapped, CloneIdMapped(dir, source.id_map));
    ASSIGN_OR_RETURN(UniqueFd place, OpenPlace(dir));
    RETURN_IF_ERROR(MoveMount(mapped.get(), place.get()));
  }
  return absl::OkStatus();
}

// Before kernel 6.5 all options are one text of at most a page, and fsconfig(2) takes 255 bytes of
// it. So the directories are named by their descriptors, relative to /proc/self/fd ("9:10:11"), for
// mount(2). That wants a place, which is found in a mount namespace of this thread's own; and the
// kernel wants directories that were opened there.
absl::StatusOr<UniqueFd> MountOverlayHere(const OverlaySource& source) {
  RETURN_IF_ERROR(EnterOwnNamespace(source));
  std::vector<UniqueFd> places;
  std::string options = "lowerdir=";
  for (const std::string& lower : source.lower_dirs) {
    absl::StrAppend(&options, places.empty() ? "" : ":");
    ASSIGN_OR_RETURN(places.emplace_back(), OpenPlace(lower));
    absl::StrAppend(&options, places.back().get());
  }
  if (!source.upper_dir.empty()) {
    for (const auto& [key, path] :
         {std::pair(",upperdir=", source.upper_dir), std::pair(",workdir=", source.work_dir)}) {
      ASSIGN_OR_RETURN(places.emplace_back(), OpenPlace(path));
      absl::StrAppend(&options, key, places.back().get());
    }
    for (const char* option : kPlainUpper) absl::StrAppend(&options, ",", option, "=off");
  }
  if (options.size() >= static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    return absl::ResourceExhaustedError(absl::StrCat("mount overlay: the names of ",
                                                     source.lower_dirs.size(),
                                                     " layers do not fit into a page"));
  }
  MountingIds ids;
  if (source.id_map >= 0 && !source.upper_dir.empty()) {
    ASSIGN_OR_RETURN(std::string home, UpperHome(source));
    ASSIGN_OR_RETURN(UniqueFd mapped_home, OpenPlace(home));
    RETURN_IF_ERROR(ids.Take(mapped_home.get()));
  }
  if (chdir("/proc/self/fd") < 0) return SyscallError(errno, "mount overlay: /proc/self/fd");
  const std::string& place = source.lower_dirs.back();
  if (mount("overlay", place.c_str(), "overlay", 0, options.c_str()) < 0) {
    return SyscallError(errno, "mount overlay");
  }
  return CloneMount(AT_FDCWD, place, false);
}

}  // namespace

absl::StatusOr<UniqueFd> MakeOverlayAsOnePage(const OverlaySource& source) {
  absl::StatusOr<UniqueFd> made = absl::InternalError("");
  std::thread([&] { made = MountOverlayHere(source); }).join();
  return made;
}

namespace {

// Layer by layer (kernel 6.5). `as_named`: where the kernel finds the directories.
absl::StatusOr<UniqueFd> MountOverlayByParts(const OverlaySource& source,
                                             const OverlaySource& as_named) {
  UniqueFd context(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context.valid()) return SyscallError(errno, "mount overlay");
  for (size_t i = 0; i < as_named.lower_dirs.size(); ++i) {
    const std::string& lower = as_named.lower_dirs[i];
    if (fsconfig(context.get(), FSCONFIG_SET_STRING, "lowerdir+", lower.c_str(), 0) == 0) continue;
    // EINVAL is the word for "unknown option" too, in the releases between, and for a layer that
    // must be attached.
    if (errno == EINVAL) return MakeOverlayAsOnePage(source);
    return ContextError(context.get(), errno,
                        absl::StrCat("mount overlay: layer ", source.lower_dirs[i]));
  }
  if (!source.upper_dir.empty()) {
    RETURN_IF_ERROR(SetString(context.get(), "overlay", "upperdir", as_named.upper_dir));
    RETURN_IF_ERROR(SetString(context.get(), "overlay", "workdir", as_named.work_dir));
    for (const char* option : kPlainUpper) {
      RETURN_IF_ERROR(SetString(context.get(), "overlay", option, "off"));
    }
  }
  return Finish(context.get(), "overlay", 0);
}

// Such a kernel takes every option, even this one, and complains in the system's log when it
// mounts.
bool TakesOnePage() {
  static const bool takes = [] {
    UniqueFd context(fsopen("overlay", FSOPEN_CLOEXEC));
    return context.valid() && fsconfig(context.get(), FSCONFIG_SET_FLAG,
                                       "darse-asks-whether-options-are-checked", nullptr, 0) == 0;
  }();
  return takes;
}

}  // namespace

void LearnOverlay() { TakesOnePage(); }

absl::StatusOr<UniqueFd> MakeOverlay(const OverlaySource& source) {
  std::vector<UniqueFd> spent;
  return MakeOverlayKeeping(source, spent);
}

absl::StatusOr<UniqueFd> MakeOverlayKeeping(const OverlaySource& source,
                                            std::vector<UniqueFd>& spent) {
  if (TakesOnePage()) return MakeOverlayAsOnePage(source);
  if (source.id_map < 0) return MountOverlayByParts(source, source);
  auto map = [&](const std::string& dir) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(spent.emplace_back(), CloneIdMapped(dir, source.id_map));
    return absl::StrCat("/proc/self/fd/", spent.back().get());
  };
  MountingIds ids;
  OverlaySource as_named;
  for (const std::string& lower : source.lower_dirs) {
    ASSIGN_OR_RETURN(as_named.lower_dirs.emplace_back(), map(lower));
  }
  if (!source.upper_dir.empty()) {
    ASSIGN_OR_RETURN(std::string home, UpperHome(source));
    ASSIGN_OR_RETURN(std::string mapped_home, map(home));
    as_named.upper_dir = mapped_home + source.upper_dir.substr(home.size());
    as_named.work_dir = mapped_home + source.work_dir.substr(home.size());
    RETURN_IF_ERROR(ids.Take(spent.back().get()));
  }
  return MountOverlayByParts(source, as_named);
}

}  // namespace darse::mnt
