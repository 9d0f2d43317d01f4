#include "libs/container/copy_up.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"

namespace darse::container {
namespace {

// An image that nests deeper than this means harm: each level holds two fds.
constexpr int kDeepest = 100;

struct Close {
  void operator()(DIR* directory) const { closedir(directory); }
};

absl::Status Failed(const std::string& name) {
  return SyscallError(errno, absl::StrCat("tmpcopyup: ", name));
}

// What the file system below takes: tmpfs has no user.* attributes in every kernel.
void CopyAttributes(int from, int to) {
  ssize_t size = flistxattr(from, nullptr, 0);
  if (size <= 0) return;
  std::vector<char> names(static_cast<size_t>(size));
  size = flistxattr(from, names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    const char* name = names.data() + at;
    at += static_cast<ssize_t>(strlen(name)) + 1;
    std::vector<char> value(65536);
    ssize_t length = fgetxattr(from, name, value.data(), value.size());
    if (length >= 0) fsetxattr(to, name, value.data(), static_cast<size_t>(length), 0);
  }
}

absl::Status CopyContent(int from, int to, const std::string& name) {
  for (;;) {
    ssize_t copied = sendfile(to, from, nullptr, 1 << 30);
    if (copied == 0) return absl::OkStatus();
    if (copied < 0 && errno != EINTR) return Failed(name);
  }
}

// In this order: a chown takes the set-user-id bits and capabilities away.
absl::Status Finish(int from, int to, const struct stat& node, const std::string& name) {
  if (fchown(to, node.st_uid, node.st_gid) < 0) return Failed(name);
  if (fchmod(to, node.st_mode & 07777) < 0) return Failed(name);
  CopyAttributes(from, to);
  const timespec times[2] = {node.st_atim, node.st_mtim};
  if (futimens(to, times) < 0) return Failed(name);
  return absl::OkStatus();
}

absl::Status CopyLink(int from, int to, const std::string& name, const struct stat& node) {
  char text[4096];
  ssize_t size = readlinkat(from, name.c_str(), text, sizeof(text) - 1);
  if (size < 0) return Failed(name);
  text[size] = '\0';
  if (symlinkat(text, to, name.c_str()) < 0) return Failed(name);
  if (fchownat(to, name.c_str(), node.st_uid, node.st_gid, AT_SYMLINK_NOFOLLOW) < 0) {
    return Failed(name);
  }
  return absl::OkStatus();
}

absl::Status CopyDirectory(int from, int to, int depth);

absl::Status CopyOne(int from, int to, const std::string& name, int depth) {
  struct stat node;
  if (fstatat(from, name.c_str(), &node, AT_SYMLINK_NOFOLLOW) < 0) return Failed(name);
  if (S_ISLNK(node.st_mode)) return CopyLink(from, to, name, node);
  if (S_ISDIR(node.st_mode)) {
    if (mkdirat(to, name.c_str(), 0700) < 0) return Failed(name);
  } else if (!S_ISREG(node.st_mode)) {
    if (mknodat(to, name.c_str(), node.st_mode, node.st_rdev) < 0) return Failed(name);
    if (fchownat(to, name.c_str(), node.st_uid, node.st_gid, AT_SYMLINK_NOFOLLOW) < 0) {
      return Failed(name);
    }
    return absl::OkStatus();
  }
  bool directory = S_ISDIR(node.st_mode);
  // Nobody but us is in this container yet.
  UniqueFd source(openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  int flags = directory ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
  UniqueFd target(openat(to, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!source.valid() || !target.valid()) return Failed(name);
  RETURN_IF_ERROR(directory ? CopyDirectory(source.get(), target.get(), depth + 1)
                            : CopyContent(source.get(), target.get(), name));
  return Finish(source.get(), target.get(), node, name);
}

absl::Status CopyDirectory(int from, int to, int depth) {
  if (depth > kDeepest) {
    return absl::ResourceExhaustedError("tmpcopyup: directories are nested too deep");
  }
  int listing = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (listing < 0) return Failed(".");
  std::unique_ptr<DIR, Close> entries(fdopendir(listing));
  while (const dirent* entry = readdir(entries.get())) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    RETURN_IF_ERROR(CopyOne(from, to, name, depth));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CopyUp(int source, int target) {
  struct stat node;
  UniqueFd from(openat(source, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  UniqueFd to(openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from.valid() || !to.valid() || fstat(from.get(), &node) < 0) return Failed(".");
  RETURN_IF_ERROR(CopyDirectory(from.get(), to.get(), 0));
  // The mode of the tmpfs itself may have been asked for.
  if (fchown(to.get(), node.st_uid, node.st_gid) < 0) return Failed(".");
  return absl::OkStatus();
}

}  // namespace darse::container
