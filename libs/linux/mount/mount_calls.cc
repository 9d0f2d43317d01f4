#include "libs/linux/mount/mount_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/mount/fs_context.h"

namespace darse::mnt {

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
