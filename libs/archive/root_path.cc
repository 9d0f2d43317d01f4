#include "libs/archive/root_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace darse::archive {
namespace {

std::string Quoted(absl::string_view path) {
  return absl::StrCat("\"", absl::CHexEscape(path.substr(0, 200)), "\"");
}

int Open2(int root, absl::string_view path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  std::string name(path.empty() ? "." : path);
  int fd = -1;
  // EAGAIN: something was renamed meanwhile and the kernel could not tell whether the path stayed
  // inside.
  for (int tries = 0; tries < 100; ++tries) {
    fd = static_cast<int>(syscall(SYS_openat2, root, name.c_str(), &how, sizeof how));
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::string> CleanPath(absl::string_view path) {
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return absl::InvalidArgumentError(absl::StrCat("path ", Quoted(path), " contains \"..\""));
    }
    if (part.size() > 255) {
      return absl::InvalidArgumentError(
          absl::StrCat("path ", Quoted(path), " has a name over 255 bytes"));
    }
    parts.push_back(part);
  }
  return absl::StrJoin(parts, "/");
}

std::pair<absl::string_view, absl::string_view> SplitPath(absl::string_view clean) {
  size_t slash = clean.rfind('/');
  if (slash == absl::string_view::npos) return {"", clean};
  return {clean.substr(0, slash), clean.substr(slash + 1)};
}

absl::StatusOr<UniqueFd> OpenInRoot(int root, absl::string_view path, uint64_t flags,
                                    uint64_t mode) {
  int fd = Open2(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", Quoted(path)));
  return UniqueFd(fd);
}

absl::StatusOr<UniqueFd> OpenStraight(int root, absl::string_view clean, uint64_t flags) {
  int fd = Open2(root, clean, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd < 0 && errno == ELOOP) {
    return absl::FailedPreconditionError(
        absl::StrCat("opening ", Quoted(clean), ": a symlink on the way"));
  }
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", Quoted(clean)));
  return UniqueFd(fd);
}

absl::StatusOr<std::string> RealPathInRoot(int root, absl::string_view clean) {
  std::vector<std::string> todo;
  auto push = [&todo](absl::string_view path) {
    std::vector<absl::string_view> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
    for (auto it = parts.rbegin(); it != parts.rend(); ++it) todo.emplace_back(*it);
  };
  push(clean);
  std::vector<std::string> done;
  int links = 0;
  while (!todo.empty()) {
    std::string part = std::move(todo.back());
    todo.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    done.push_back(std::move(part));
    std::string path = absl::StrJoin(done, "/");
    char target[4097];
    ssize_t size = readlinkat(root, path.c_str(), target, sizeof target - 1);
    if (size < 0) continue;
    if (++links > 40) {
      return absl::InvalidArgumentError(
          absl::StrCat("path ", Quoted(clean), ": too many symlinks"));
    }
    done.pop_back();
    absl::string_view to(target, size);
    if (!to.empty() && to.front() == '/') done.clear();
    push(to);
  }
  return absl::StrJoin(done, "/");
}

absl::StatusOr<UniqueFd> MakeDirectoriesInRoot(int root, absl::string_view clean, uint32_t uid,
                                               uint32_t gid) {
  absl::StatusOr<UniqueFd> whole = OpenInRoot(root, clean, O_PATH | O_DIRECTORY);
  if (whole.ok()) return whole;
  if (!absl::IsNotFound(whole.status())) {
    return absl::InvalidArgumentError(
        absl::StrCat("directory ", Quoted(clean), ": ", whole.status().message()));
  }
  auto [parent_path, name] = SplitPath(clean);
  if (name.empty()) return whole;
  ASSIGN_OR_RETURN(UniqueFd parent, MakeDirectoriesInRoot(root, parent_path, uid, gid));
  std::string child(name);
  if (mkdirat(parent.get(), child.c_str(), 0755) != 0) {
    if (errno == EEXIST) {
      return absl::InvalidArgumentError(
          absl::StrCat("directory ", Quoted(clean), ": a symlink that leads nowhere"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("making directory ", Quoted(clean)));
  }
  if ((uid != 0 || gid != 0) &&
      fchownat(parent.get(), child.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("changing the owner of ", Quoted(clean)));
  }
  int fd = openat(parent.get(), child.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", Quoted(clean)));
  return UniqueFd(fd);
}

absl::Status RemoveTree(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno != EISDIR && errno != EPERM) {
    return absl::ErrnoToStatus(errno, absl::StrCat("removing ", Quoted(name)));
  }
  // One level of descriptors at a time would run out on a deep hostile tree: directories found
  // below are moved up beside their parent's other children first.
  int fd = openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("removing ", Quoted(name)));
  UniqueFd guard(dup(fd));
  std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(fd), closedir);
  uint64_t moved = 0;
  bool again = true;
  while (again) {
    again = false;
    rewinddir(entries.get());
    while (struct dirent* entry = readdir(entries.get())) {
      std::string child = entry->d_name;
      if (child == "." || child == "..") continue;
      if (unlinkat(guard.get(), child.c_str(), 0) == 0) continue;
      if (unlinkat(guard.get(), child.c_str(), AT_REMOVEDIR) == 0) continue;
      if (errno != ENOTEMPTY && errno != EEXIST) {
        return absl::ErrnoToStatus(errno, absl::StrCat("removing ", Quoted(child)));
      }
      int sub = openat(guard.get(), child.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (sub < 0) return absl::ErrnoToStatus(errno, absl::StrCat("removing ", Quoted(child)));
      UniqueFd sub_guard(dup(sub));
      std::unique_ptr<DIR, int (*)(DIR*)> below(fdopendir(sub), closedir);
      while (struct dirent* grandchild = readdir(below.get())) {
        std::string leaf = grandchild->d_name;
        if (leaf == "." || leaf == "..") continue;
        if (unlinkat(sub_guard.get(), leaf.c_str(), 0) == 0) continue;
        if (unlinkat(sub_guard.get(), leaf.c_str(), AT_REMOVEDIR) == 0) continue;
        std::string up;
        int result;
        do {
          up = absl::StrCat(".darse-removed-", moved++);
          result = renameat(sub_guard.get(), leaf.c_str(), guard.get(), up.c_str());
        } while (result != 0 && (errno == EEXIST || errno == ENOTEMPTY));
        if (result != 0) return absl::ErrnoToStatus(errno, absl::StrCat("removing ", Quoted(leaf)));
      }
      again = true;
    }
  }
  entries.reset();
  if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("removing ", Quoted(name)));
  }
  return absl::OkStatus();
}

}  // namespace darse::archive
