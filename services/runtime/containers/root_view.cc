#include "services/runtime/containers/root_view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/linux/mount/overlay.h"
#include "libs/os/files.h"
#include "libs/os/path_in_root.h"

namespace darse::runtime {
namespace {

constexpr off_t kMaxSmallFile = 1 << 20;

absl::StatusOr<std::vector<std::string>> NamesIn(int directory) {
  UniqueFd copy(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy.valid()) return absl::ErrnoToStatus(errno, "open a directory");
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(copy.get()), closedir);
  if (stream == nullptr) return absl::ErrnoToStatus(errno, "read a directory");
  copy.Release();
  std::vector<std::string> names;
  while (dirent* entry = readdir(stream.get())) {
    absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

// Extended attributes and times; owners and modes come before, since chown clears capabilities.
void CopyAttributes(int from, int to) {
  std::vector<char> names(64 << 10);
  ssize_t length = flistxattr(from, names.data(), names.size());
  std::vector<char> value(64 << 10);
  for (ssize_t at = 0; at < length;) {
    const char* name = names.data() + at;
    at += static_cast<ssize_t>(strlen(name)) + 1;
    if (absl::StartsWith(name, "trusted.overlay.")) continue;
    ssize_t size = fgetxattr(from, name, value.data(), value.size());
    if (size >= 0) fsetxattr(to, name, value.data(), static_cast<size_t>(size), 0);
  }
}

absl::Status CopyOwner(int to, const struct stat& from) {
  if (fchown(to, from.st_uid, from.st_gid) != 0) return absl::ErrnoToStatus(errno, "chown");
  if (fchmod(to, from.st_mode & 07777) != 0) return absl::ErrnoToStatus(errno, "chmod");
  return absl::OkStatus();
}

void CopyTimes(int to, const struct stat& from) {
  timespec times[2] = {from.st_atim, from.st_mtim};
  futimens(to, times);
}

absl::Status CopyDirectory(int from, int to);

absl::Status CopyFile(int from_directory, int to_directory, const std::string& name,
                      const struct stat& status) {
  UniqueFd from(openat(from_directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!from.valid()) return absl::ErrnoToStatus(errno, "open");
  UniqueFd to(openat(to_directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!to.valid()) return absl::ErrnoToStatus(errno, "create");
  while (true) {
    ssize_t sent = sendfile(to.get(), from.get(), nullptr, 1 << 30);
    if (sent < 0) return absl::ErrnoToStatus(errno, "copy");
    if (sent == 0) break;
  }
  RETURN_IF_ERROR(CopyOwner(to.get(), status));
  CopyAttributes(from.get(), to.get());
  CopyTimes(to.get(), status);
  return absl::OkStatus();
}

absl::Status CopySymlink(int from_directory, int to_directory, const std::string& name,
                         const struct stat& status) {
  char target[PATH_MAX];
  ssize_t length = readlinkat(from_directory, name.c_str(), target, sizeof(target) - 1);
  if (length < 0) return absl::ErrnoToStatus(errno, "readlink");
  target[length] = '\0';
  if (symlinkat(target, to_directory, name.c_str()) != 0 ||
      fchownat(to_directory, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) !=
          0) {
    return absl::ErrnoToStatus(errno, "symlink");
  }
  return absl::OkStatus();
}

absl::Status CopyEntry(int from_directory, int to_directory, const std::string& name) {
  struct stat status;
  if (fstatat(from_directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return absl::ErrnoToStatus(errno, "stat");
  }
  if (S_ISREG(status.st_mode)) return CopyFile(from_directory, to_directory, name, status);
  if (S_ISLNK(status.st_mode)) return CopySymlink(from_directory, to_directory, name, status);
  if (S_ISDIR(status.st_mode)) {
    UniqueFd from(
        openat(from_directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!from.valid()) return absl::ErrnoToStatus(errno, "open");
    if (mkdirat(to_directory, name.c_str(), 0700) != 0) return absl::ErrnoToStatus(errno, "mkdir");
    UniqueFd to(
        openat(to_directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!to.valid()) return absl::ErrnoToStatus(errno, "open");
    return CopyDirectory(from.get(), to.get());
  }
  // Devices, pipes and sockets.
  if (mknodat(to_directory, name.c_str(), status.st_mode, status.st_rdev) != 0 ||
      fchownat(to_directory, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) !=
          0) {
    return absl::ErrnoToStatus(errno, "mknod");
  }
  return absl::OkStatus();
}

absl::Status CopyDirectory(int from, int to) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, NamesIn(from));
  for (const std::string& name : names) {
    RETURN_IF_ERROR(Annotate(CopyEntry(from, to, name), name));
  }
  struct stat status;
  if (fstat(from, &status) != 0) return absl::ErrnoToStatus(errno, "stat");
  RETURN_IF_ERROR(CopyOwner(to, status));
  CopyAttributes(from, to);
  CopyTimes(to, status);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> OpenRootView(const SnapshotDirs& dirs) {
  mnt::OverlaySource source;
  // The kernel refuses an upper directory as a layer only where the overlay is mounted for good
  // with it; a view is gone before or is read while the container runs, and then sees what it
  // writes.
  source.lower_dirs.push_back(dirs.upper_dir);
  source.lower_dirs.insert(source.lower_dirs.end(), dirs.lower_dirs.begin(), dirs.lower_dirs.end());
  if (source.lower_dirs.size() == 1) return OpenDirectory(dirs.upper_dir);
  return Annotate(mnt::MakeOverlay(source), "looking into the root filesystem");
}

absl::StatusOr<std::string> ReadSmallFile(int root, absl::string_view path) {
  absl::StatusOr<UniqueFd> file = OpenInRoot(root, path, O_RDONLY | O_NONBLOCK);
  if (absl::IsNotFound(file.status())) return std::string();
  RETURN_IF_ERROR(Annotate(file.status(), path));
  struct stat status;
  if (fstat(file->get(), &status) != 0) return absl::ErrnoToStatus(errno, path);
  if (!S_ISREG(status.st_mode) || status.st_size > kMaxSmallFile) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no small regular file"));
  }
  return ReadFd(file->get());
}

absl::StatusOr<ResolvedUser> LookUpUserIn(int root, absl::string_view user,
                                          const std::vector<std::string>& additional_groups) {
  ASSIGN_OR_RETURN(std::string passwd, ReadSmallFile(root, "etc/passwd"));
  ASSIGN_OR_RETURN(std::string group, ReadSmallFile(root, "etc/group"));
  return LookUpUser(user, additional_groups, passwd, group);
}

absl::Status FillFromRoot(int root, absl::string_view path, absl::string_view target) {
  ASSIGN_OR_RETURN(std::vector<std::string> present, ListDirectory(target));
  if (!present.empty()) return absl::OkStatus();
  absl::StatusOr<UniqueFd> from = OpenInRoot(root, path, O_RDONLY | O_DIRECTORY);
  if (absl::IsNotFound(from.status()) || absl::IsFailedPrecondition(from.status())) {
    // Nothing there, or a file.
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(from.status());
  UniqueFd to(open(std::string(target).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!to.valid()) return absl::ErrnoToStatus(errno, target);
  return Annotate(CopyDirectory(from->get(), to.get()),
                  absl::StrCat("filling the volume with the image's ", path));
}

}  // namespace darse::runtime
