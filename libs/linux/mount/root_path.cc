#include "libs/linux/mount/root_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"

namespace darse::mnt {

std::string CleanRelative(absl::string_view path) {
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return absl::StrJoin(parts, "/");
}

absl::StatusOr<UniqueFd> OpenInRoot(int root, const std::string& path, int flags, mode_t mode,
                                    bool follow) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (follow ? 0 : RESOLVE_NO_SYMLINKS);
  const std::string where = path.empty() ? "." : path;
  for (;;) {
    UniqueFd fd(static_cast<int>(syscall(SYS_openat2, root, where.c_str(), &how, sizeof(how))));
    if (fd.valid()) return fd;
    // EAGAIN: something was renamed under ".." meanwhile.
    if (errno == EINTR || errno == EAGAIN) continue;
    return SyscallError(errno, absl::StrCat("open ", path, " in the root"));
  }
}

absl::StatusOr<UniqueFd> EnsureInRoot(int root, const std::string& path, NodeKind kind, mode_t mode,
                                      bool follow) {
  std::string clean = CleanRelative(path);
  if (clean.empty()) return OpenInRoot(root, ".", O_PATH | O_DIRECTORY);
  absl::StatusOr<UniqueFd> there = OpenInRoot(root, clean, O_PATH, 0, follow);
  if (there.ok() || ErrnoOf(there.status()) != ENOENT) return there;

  size_t slash = clean.rfind('/');
  std::string parent_path = slash == std::string::npos ? "" : clean.substr(0, slash);
  std::string name = slash == std::string::npos ? clean : clean.substr(slash + 1);
  ASSIGN_OR_RETURN(UniqueFd parent,
                   EnsureInRoot(root, parent_path, NodeKind::kDirectory, 0755, follow));
  if (kind == NodeKind::kDirectory) {
    if (mkdirat(parent.get(), name.c_str(), mode) < 0 && errno != EEXIST) {
      return SyscallError(errno, absl::StrCat("mkdir ", path, " in the root"));
    }
  } else {
    int flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC;
    UniqueFd made(openat(parent.get(), name.c_str(), flags, mode));
    if (!made.valid() && errno != EEXIST) {
      return SyscallError(errno, absl::StrCat("create ", path, " in the root"));
    }
  }
  return OpenInRoot(root, clean, O_PATH, 0, follow);
}

}  // namespace darse::mnt
