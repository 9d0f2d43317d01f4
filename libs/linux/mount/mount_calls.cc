#include "libs/linux/mount/mount_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
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

// Colons separate layers in the old option; a backslash keeps one that is in a name.
std::string Escape(const std::string& path) {
  return absl::StrReplaceAll(path, {{"\\", "\\\\"}, {":", "\\:"}, {",", "\\,"}});
}

absl::StatusOr<UniqueFd> MakeOverlayByPage(const OverlaySource& source) {
  std::string options = "lowerdir=";
  for (size_t i = 0; i < source.lower_dirs.size(); ++i) {
    absl::StrAppend(&options, i == 0 ? "" : ":", Escape(source.lower_dirs[i]));
  }
  if (!source.upper_dir.empty()) {
    absl::StrAppend(&options, ",upperdir=", Escape(source.upper_dir),
                    ",workdir=", Escape(source.work_dir));
  }
  if (options.size() >= static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    return absl::ResourceExhaustedError(absl::StrCat("mount overlay: the names of ",
                                                     source.lower_dirs.size(),
                                                     " layers do not fit into a page"));
  }
  // mount(2) wants a place; the work directory's parent would do, but a lower directory always
  // exists.
  const std::string& place = source.lower_dirs.back();
  if (::mount("overlay", place.c_str(), "overlay", 0, options.c_str()) < 0) {
    return SyscallError(errno, "mount overlay");
  }
  absl::StatusOr<UniqueFd> clone = CloneMount(AT_FDCWD, place, false);
  umount2(place.c_str(), MNT_DETACH);
  return clone;
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

absl::StatusOr<UniqueFd> MakeOverlay(const OverlaySource& source) {
  UniqueFd context(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context.valid()) return SyscallError(errno, "mount overlay");
  bool added = true;
  for (const std::string& lower : source.lower_dirs) {
    added = fsconfig(context.get(), FSCONFIG_SET_STRING, "lowerdir+", lower.c_str(), 0) == 0;
    if (added) continue;
    // EINVAL is an old kernel's word for "unknown option" too: let the old way decide.
    if (errno == EINVAL) return MakeOverlayByPage(source);
    return ContextError(context.get(), errno, absl::StrCat("mount overlay: layer ", lower));
  }
  if (!source.upper_dir.empty()) {
    RETURN_IF_ERROR(SetString(context.get(), "overlay", "upperdir", source.upper_dir));
    RETURN_IF_ERROR(SetString(context.get(), "overlay", "workdir", source.work_dir));
    // The upper directory becomes a layer by itself: whatever the kernel's defaults are, it may not
    // refer to the ones below.
    for (const char* option : {"redirect_dir", "metacopy", "index"}) {
      RETURN_IF_ERROR(SetString(context.get(), "overlay", option, "off"));
    }
  }
  return Finish(context.get(), "overlay", 0);
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
