#include "libs/os/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"

namespace darse {
namespace {

absl::Status Errno(absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(doing, " ", path));
}

absl::string_view DirectoryOf(absl::string_view path) {
  size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteByRename(absl::string_view path, absl::string_view bytes, mode_t mode,
                           bool durable) {
  // Unique among threads and processes; a crash leaves at most this file behind.
  static std::atomic<int> counter{0};
  std::string target(path);
  std::string temporary = absl::StrCat(path, ".new-", ::getpid(), "-", counter.fetch_add(1));
  UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd.valid()) return Errno("open", temporary);
  absl::Cleanup remove = [&] { ::unlink(temporary.c_str()); };
  // The umask took bits away.
  if (::fchmod(fd.get(), mode) != 0) return Errno("chmod", temporary);
  RETURN_IF_ERROR(Annotate(WriteFd(fd.get(), bytes), absl::StrCat("write ", temporary)));
  if (durable && ::fsync(fd.get()) != 0) return Errno("fsync", temporary);
  if (::rename(temporary.c_str(), target.c_str()) != 0) return Errno("rename to", target);
  std::move(remove).Cancel();
  return durable ? SyncDirectory(DirectoryOf(path)) : absl::OkStatus();
}

// Deletes what is in the open directory `directory`, which it closes.
absl::Status EmptyDirectory(UniqueFd directory, const std::string& path) {
  DIR* entries = ::fdopendir(directory.get());
  if (entries == nullptr) return Errno("list", path);
  directory.Release();
  absl::Cleanup close = [entries] { ::closedir(entries); };
  for (;;) {
    errno = 0;
    struct dirent* entry = ::readdir(entries);
    if (entry == nullptr) {
      if (errno != 0) return Errno("list", path);
      return absl::OkStatus();
    }
    absl::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    std::string full = absl::StrCat(path, "/", name);
    if (::unlinkat(::dirfd(entries), entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return Errno("delete", full);
    UniqueFd child(
        ::openat(::dirfd(entries), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) return Errno("open", full);
    RETURN_IF_ERROR(EmptyDirectory(std::move(child), full));
    if (::unlinkat(::dirfd(entries), entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return Errno("delete", full);
    }
  }
}

}  // namespace

absl::StatusOr<std::string> ReadFd(int fd) {
  std::string bytes;
  struct stat file;
  if (::fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_size > 0) {
    bytes.reserve(file.st_size);
  }
  char buffer[16384];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "read");
    if (n == 0) return bytes;
    bytes.append(buffer, n);
  }
}

absl::StatusOr<std::string> ReadFile(absl::string_view path) {
  UniqueFd fd(::open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Errno("open", path);
  return Annotate(ReadFd(fd.get()), path);
}

absl::Status WriteFd(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "write");
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(absl::string_view path, absl::string_view bytes, mode_t mode) {
  return WriteByRename(path, bytes, mode, true);
}

absl::Status WriteFileVolatile(absl::string_view path, absl::string_view bytes, mode_t mode) {
  return WriteByRename(path, bytes, mode, false);
}

absl::Status WriteFileInPlace(absl::string_view path, absl::string_view bytes, mode_t mode) {
  UniqueFd fd(::open(std::string(path).c_str(),
                     O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd.valid()) return Errno("open", path);
  if (::fchmod(fd.get(), mode) != 0) return Errno("chmod", path);
  return Annotate(WriteFd(fd.get(), bytes), path);
}

absl::Status WriteExistingFile(absl::string_view path, absl::string_view bytes) {
  UniqueFd fd(::open(std::string(path).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return Errno("open", path);
  ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
  if (n < 0) return Errno(absl::StrCat("write \"", bytes, "\" to"), path);
  if (static_cast<size_t>(n) != bytes.size()) {
    return absl::InternalError(absl::StrCat("write to ", path, ": only ", n, " bytes were taken"));
  }
  return absl::OkStatus();
}

absl::Status MakeDirectories(absl::string_view path, mode_t mode) {
  std::string directory(path);
  if (::mkdir(directory.c_str(), mode) == 0) return absl::OkStatus();
  if (errno == ENOENT && DirectoryOf(path) != path) {
    RETURN_IF_ERROR(MakeDirectories(DirectoryOf(absl::StripSuffix(path, "/")), mode));
    if (::mkdir(directory.c_str(), mode) == 0) return absl::OkStatus();
  }
  if (errno != EEXIST) return Errno("make directory", path);
  struct stat file;
  if (::stat(directory.c_str(), &file) != 0) return Errno("stat", path);
  if (!S_ISDIR(file.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("make directory ", path, ": it is there and is not a directory"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDirectory(absl::string_view path) {
  DIR* entries = ::opendir(std::string(path).c_str());
  if (entries == nullptr) return Errno("list", path);
  absl::Cleanup close = [entries] { ::closedir(entries); };
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    struct dirent* entry = ::readdir(entries);
    if (entry == nullptr) break;
    absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return Errno("list", path);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status SyncDirectory(absl::string_view path) {
  UniqueFd fd(::open(std::string(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return Errno("open", path);
  if (::fsync(fd.get()) != 0) return Errno("fsync", path);
  return absl::OkStatus();
}

absl::Status RemoveTree(absl::string_view path) {
  std::string name(path);
  if (::unlink(name.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) return Errno("delete", path);
  UniqueFd fd(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return Errno("open", path);
  RETURN_IF_ERROR(EmptyDirectory(std::move(fd), name));
  if (::rmdir(name.c_str()) != 0 && errno != ENOENT) return Errno("delete", path);
  return absl::OkStatus();
}

absl::Status RemoveFile(absl::string_view path) {
  if (::unlink(std::string(path).c_str()) != 0 && errno != ENOENT) return Errno("delete", path);
  return absl::OkStatus();
}

bool Exists(absl::string_view path) {
  struct stat file;
  return ::lstat(std::string(path).c_str(), &file) == 0;
}

std::string JoinPath(absl::string_view directory, absl::string_view name) {
  return absl::StrCat(absl::StripSuffix(directory, "/"), "/", absl::StripPrefix(name, "/"));
}

absl::StatusOr<std::string> ExecutableDirectory() {
  char target[4096];
  ssize_t n = ::readlink("/proc/self/exe", target, sizeof(target));
  if (n < 0) return Errno("read link", "/proc/self/exe");
  return std::string(DirectoryOf(absl::string_view(target, n)));
}

}  // namespace darse
