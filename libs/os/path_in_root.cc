#include "libs/os/path_in_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace darse {
namespace {

// A descriptor, or -1 with errno.
int OpenAt2(int root, const std::string& path, int flags, mode_t mode) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  // The kernel refuses a mode where nothing can be created.
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: a rename happened somewhere while ".." was being resolved.
  for (int tries = 0; tries < 1000; ++tries) {
    int fd = static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how)));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) return fd;
  }
  return -1;
}

bool HasNul(absl::string_view path) { return path.find('\0') != absl::string_view::npos; }

// "." and empty parts left out. ".." stays: what it means depends on symlinks before it.
std::vector<std::string> Parts(absl::string_view path) {
  std::vector<std::string> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part != ".") parts.emplace_back(part);
  }
  return parts;
}

absl::StatusOr<NameInRoot> Locate(int root, absl::string_view path, bool make, mode_t mode) {
  std::vector<std::string> parts = Parts(path);
  if (parts.empty() || parts.back() == ".." || HasNul(path)) {
    return absl::InvalidArgumentError(absl::StrCat("path \"", path, "\": names no file"));
  }
  NameInRoot located;
  located.name = std::move(parts.back());
  parts.pop_back();
  std::string directory = parts.empty() ? "." : absl::StrJoin(parts, "/");
  if (make) {
    ASSIGN_OR_RETURN(located.directory, MakeDirectoriesInRoot(root, directory, mode));
  } else {
    ASSIGN_OR_RETURN(located.directory, OpenInRoot(root, directory, O_PATH | O_DIRECTORY));
  }
  return located;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenDirectory(absl::string_view path) {
  UniqueFd fd(::open(std::string(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  return fd;
}

absl::StatusOr<UniqueFd> OpenInRoot(int root, absl::string_view path, int flags, mode_t mode) {
  if (HasNul(path)) return absl::InvalidArgumentError("open below root: path has a NUL");
  UniqueFd fd(OpenAt2(root, path.empty() ? "." : std::string(path), flags, mode));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path, " below root"));
  return fd;
}

absl::StatusOr<UniqueFd> MakeDirectoriesInRoot(int root, absl::string_view path, mode_t mode) {
  if (HasNul(path)) return absl::InvalidArgumentError("make directories: path has a NUL");
  // Usually all of it is there.
  UniqueFd whole(OpenAt2(root, path.empty() ? "." : std::string(path), O_PATH | O_DIRECTORY, 0));
  if (whole.valid()) return whole;
  // Each prefix is resolved from the root anew, so that ".." and symlinks mean what they mean to
  // the kernel. Only the last part of a prefix is ever made, in its parent, without following
  // anything.
  UniqueFd parent(OpenAt2(root, ".", O_PATH | O_DIRECTORY, 0));
  if (!parent.valid()) return absl::ErrnoToStatus(errno, "open root");
  std::string prefix = ".";
  for (const std::string& part : Parts(path)) {
    absl::StrAppend(&prefix, "/", part);
    UniqueFd next(OpenAt2(root, prefix, O_PATH | O_DIRECTORY, 0));
    if (!next.valid() && errno == ENOENT) {
      if (::mkdirat(parent.get(), part.c_str(), mode) != 0 && errno != EEXIST) {
        return absl::ErrnoToStatus(errno, absl::StrCat("make directory ", prefix));
      }
      next.Reset(OpenAt2(root, prefix, O_PATH | O_DIRECTORY, 0));
    }
    if (!next.valid() && errno == ENOTDIR) {
      return absl::FailedPreconditionError(
          absl::StrCat("make directory ", prefix, ": it is there and is not a directory"));
    }
    if (!next.valid()) {
      return absl::ErrnoToStatus(errno, absl::StrCat("open ", prefix, " below root"));
    }
    parent = std::move(next);
  }
  return parent;
}

absl::StatusOr<NameInRoot> LocateInRoot(int root, absl::string_view path) {
  return Locate(root, path, false, 0);
}

absl::StatusOr<NameInRoot> LocateOrMakeInRoot(int root, absl::string_view path,
                                              mode_t directory_mode) {
  return Locate(root, path, true, directory_mode);
}

absl::StatusOr<struct stat> StatInRoot(int root, absl::string_view path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenInRoot(root, path, O_PATH | O_NOFOLLOW));
  struct stat file;
  if (::fstat(fd.get(), &file) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("stat ", path, " below root"));
  }
  return file;
}

}  // namespace darse
