#include "libs/linux/mount/mount_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"

namespace darse::mnt {
namespace {

// The kernel queues sentences on the context: "e overlay: …".
absl::Status ContextError(int context, int error, const std::string& doing) {
  std::string said;
  char line[512];
  for (ssize_t got; (got = read(context, line, sizeof(line))) > 0;) {
    absl::string_view text(line, static_cast<size_t>(got));
    if (text.size() > 2 && (text[0] == 'e' || text[0] == 'w') && text[1] == ' ')
      text.remove_prefix(2);
    absl::StrAppend(&said, said.empty() ? "" : "; ", absl::StripTrailingAsciiWhitespace(text));
  }
  return SyscallError(error, said.empty() ? doing : absl::StrCat(doing, " (", said, ")"));
}

absl::Status SetString(int context, const std::string& type, const std::string& key,
                       const std::string& value) {
  if (fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) == 0) {
    return absl::OkStatus();
  }
  return ContextError(context, errno, absl::StrCat("mount ", type, ": ", key, "=", value));
}

absl::StatusOr<UniqueFd> Finish(int context, const std::string& type, uint64_t attributes) {
  if (fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) {
    return ContextError(context, errno, absl::StrCat("mount ", type));
  }
  UniqueFd mount(fsmount(context, FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount.valid()) return ContextError(context, errno, absl::StrCat("mount ", type));
  return mount;
}

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

// Into a mount namespace of this thread's own, where id-mapped layers lie over what they are made
// of: before kernel 6.15 overlay takes no mount that is attached nowhere.
absl::Status EnterOwnNamespace(const OverlaySource& source) {
  if (unshare(CLONE_NEWNS) < 0) return SyscallError(errno, "mount overlay: new mount namespace");
  if (mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
    return SyscallError(errno, "mount overlay: keep mounts to ourselves");
  }
  if (source.id_map < 0) return absl::OkStatus();
  for (const std::string& lower : source.lower_dirs) {
    ASSIGN_OR_RETURN(UniqueFd mapped, CloneIdMapped(lower, source.id_map));
    ASSIGN_OR_RETURN(UniqueFd place, OpenPlace(lower));
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
  if (chdir("/proc/self/fd") < 0) return SyscallError(errno, "mount overlay: /proc/self/fd");
  const std::string& place = source.lower_dirs.back();
  if (mount("overlay", place.c_str(), "overlay", 0, options.c_str()) < 0) {
    return SyscallError(errno, "mount overlay");
  }
  return CloneMount(AT_FDCWD, place, false);
}

}  // namespace

absl::StatusOr<UniqueFd> MakeMount(const std::string& type, const std::string& source,
                                   const Data& data, uint64_t attributes) {
  UniqueFd context(fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context.valid()) return SyscallError(errno, absl::StrCat("mount ", type));
  if (!source.empty()) RETURN_IF_ERROR(SetString(context.get(), type, "source", source));
  for (const auto& [key, value] : data) {
    if (!value.empty()) {
      RETURN_IF_ERROR(SetString(context.get(), type, key, value));
    } else if (fsconfig(context.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) < 0) {
      return ContextError(context.get(), errno, absl::StrCat("mount ", type, ": option ", key));
    }
  }
  return Finish(context.get(), type, attributes);
}

absl::StatusOr<UniqueFd> MakeOverlayAsOnePage(const OverlaySource& source) {
  absl::StatusOr<UniqueFd> made = absl::InternalError("");
  std::thread([&] { made = MountOverlayHere(source); }).join();
  return made;
}

namespace {

// Layer by layer (kernel 6.5).
absl::StatusOr<UniqueFd> MountOverlayByParts(const OverlaySource& source,
                                             const std::vector<std::string>& lower_dirs) {
  UniqueFd context(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context.valid()) return SyscallError(errno, "mount overlay");
  for (size_t i = 0; i < lower_dirs.size(); ++i) {
    const std::string& lower = lower_dirs[i];
    if (fsconfig(context.get(), FSCONFIG_SET_STRING, "lowerdir+", lower.c_str(), 0) == 0) continue;
    // EINVAL is the word for "unknown option" too, in the releases between, and for a layer that
    // must be attached.
    if (errno == EINVAL) return MakeOverlayAsOnePage(source);
    return ContextError(context.get(), errno,
                        absl::StrCat("mount overlay: layer ", source.lower_dirs[i]));
  }
  if (!source.upper_dir.empty()) {
    RETURN_IF_ERROR(SetString(context.get(), "overlay", "upperdir", source.upper_dir));
    RETURN_IF_ERROR(SetString(context.get(), "overlay", "workdir", source.work_dir));
    for (const char* option : kPlainUpper) {
      RETURN_IF_ERROR(SetString(context.get(), "overlay", option, "off"));
    }
  }
  return Finish(context.get(), "overlay", 0);
}

// Such a kernel takes every option, even this one, and complains in the system's log when it
// mounts.
bool TakesOnePage() {
  UniqueFd context(fsopen("overlay", FSOPEN_CLOEXEC));
  return context.valid() && fsconfig(context.get(), FSCONFIG_SET_FLAG,
                                     "darse-asks-whether-options-are-checked", nullptr, 0) == 0;
}

}  // namespace

absl::StatusOr<UniqueFd> MakeOverlay(const OverlaySource& source) {
  static const bool takes_one_page = TakesOnePage();
  if (takes_one_page) return MakeOverlayAsOnePage(source);
  if (source.id_map < 0) return MountOverlayByParts(source, source.lower_dirs);
  std::vector<UniqueFd> mapped;
  std::vector<std::string> names;
  for (const std::string& lower : source.lower_dirs) {
    ASSIGN_OR_RETURN(mapped.emplace_back(), CloneIdMapped(lower, source.id_map));
    names.push_back(absl::StrCat("/proc/self/fd/", mapped.back().get()));
  }
  return MountOverlayByParts(source, names);
}

absl::StatusOr<UniqueFd> CloneMount(int directory, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) |
                   (path.empty() ? AT_EMPTY_PATH : 0);
  UniqueFd mount(open_tree(directory, path.c_str(), flags));
  if (!mount.valid()) return SyscallError(errno, absl::StrCat("bind ", path));
  return mount;
}

absl::Status SetAttributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation,
                           bool recursive) {
  if (set == 0 && clear == 0 && propagation == 0) return absl::OkStatus();
  mount_attr attributes = {};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation;
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (mount_setattr(mount, "", flags, &attributes, sizeof(attributes)) < 0) {
    return SyscallError(errno, "change the attributes of a mount");
  }
  return absl::OkStatus();
}

absl::Status SetIdMap(int mount, int user_namespace, bool recursive) {
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (mount_setattr(mount, "", flags, &attributes, sizeof(attributes)) < 0) {
    return SyscallError(errno, "id-map a mount");
  }
  return absl::OkStatus();
}

absl::Status MoveMount(int mount, int target) {
  if (move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0) {
    return SyscallError(errno, "attach a mount");
  }
  return absl::OkStatus();
}

}  // namespace darse::mnt
