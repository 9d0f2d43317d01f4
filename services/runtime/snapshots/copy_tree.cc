#include "services/runtime/snapshots/copy_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/root_path.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/digest.h"

namespace darse::runtime {
namespace {

std::string Quoted(absl::string_view path) {
  return absl::StrCat("\"/", absl::CHexEscape(path.substr(0, 200)), "\"");
}

absl::Status Failed(absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(doing, " ", Quoted(path)));
}

std::string Join(const std::string& path, const std::string& name) {
  return path.empty() ? name : absl::StrCat(path, "/", name);
}

absl::StatusOr<std::vector<std::string>> SortedNames(int directory) {
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, "opening a directory");
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd), closedir);
  if (stream == nullptr) return absl::ErrnoToStatus(errno, "reading a directory");
  std::vector<std::string> names;
  while (struct dirent* entry = readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

using Xattrs = std::map<std::string, std::string>;

absl::StatusOr<Xattrs> ReadXattrs(int fd, const std::string& path) {
  Xattrs xattrs;
  std::string names(64 << 10, '\0');
  ssize_t size = flistxattr(fd, names.data(), names.size());
  if (size < 0 && errno == EOPNOTSUPP) return xattrs;
  if (size < 0) return Failed("reading attributes of", path);
  names.resize(size);
  for (absl::string_view name : absl::StrSplit(names, '\0', absl::SkipEmpty())) {
    if (name != "security.capability" && !absl::StartsWith(name, "user.")) continue;
    std::string key(name);
    std::string value(64 << 10, '\0');
    ssize_t got = fgetxattr(fd, key.c_str(), value.data(), value.size());
    if (got < 0) return Failed("reading attributes of", path);
    value.resize(got);
    xattrs[key] = std::move(value);
  }
  return xattrs;
}

// One directory of the source, opened for reading its entries: a symlink that ends `path` is
// followed.
absl::StatusOr<UniqueFd> OpenParent(int root, const std::string& path) {
  return archive::OpenInRoot(root, path, O_PATH | O_DIRECTORY);
}

absl::StatusOr<std::string> ReadLink(int parent, const std::string& name, const std::string& path) {
  char target[4097];
  ssize_t size = readlinkat(parent, name.c_str(), target, sizeof target - 1);
  if (size < 0) return Failed("reading symlink", path);
  return std::string(target, size);
}

class TreeCopier {
 public:
  TreeCopier(int source, int target, const CopyOptions& options)
      : source_(source), target_(target), options_(options) {}

  absl::Status Run(const std::vector<std::string>& paths) {
    ASSIGN_OR_RETURN(std::string clean, archive::CleanPath(options_.destination));
    ASSIGN_OR_RETURN(std::string destination, archive::RealPathInRoot(target_, clean));
    bool into = paths.size() > 1 || absl::EndsWith(options_.destination, "/") ||
                destination.empty() ||
                archive::OpenInRoot(target_, destination, O_PATH | O_DIRECTORY).ok();
    for (const std::string& named : paths) {
      // A symlink named as source is followed; below it links stay links.
      ASSIGN_OR_RETURN(std::string path, archive::RealPathInRoot(source_, named));
      ASSIGN_OR_RETURN(UniqueFd self, archive::OpenStraight(source_, path, O_PATH | O_NOFOLLOW));
      struct stat st;
      if (fstat(self.get(), &st) != 0) return Failed("reading", path);
      if (S_ISDIR(st.st_mode)) {
        bool is_new = !archive::OpenInRoot(target_, destination, O_PATH).ok();
        RETURN_IF_ERROR(MakeDirectories(destination));
        RETURN_IF_ERROR(Contents(path, destination));
        if (is_new) RETURN_IF_ERROR(DirectoryAttributes(path, st, destination));
        continue;
      }
      std::string name(archive::SplitPath(named).second);
      std::string to = into ? Join(destination, name) : destination;
      RETURN_IF_ERROR(MakeDirectories(std::string(archive::SplitPath(to).first)));
      RETURN_IF_ERROR(Leaf(path, st, to));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status MakeDirectories(const std::string& path) {
    return archive::MakeDirectoriesInRoot(target_, path, options_.uid.value_or(0),
                                          options_.gid.value_or(0))
        .status();
  }

  absl::Status Contents(const std::string& from, const std::string& to) {
    std::vector<std::string> names;
    {
      ASSIGN_OR_RETURN(UniqueFd directory,
                       archive::OpenStraight(source_, from, O_RDONLY | O_DIRECTORY));
      ASSIGN_OR_RETURN(names, SortedNames(directory.get()));
    }
    for (const std::string& name : names) {
      std::string child = Join(from, name);
      struct stat st;
      {
        ASSIGN_OR_RETURN(UniqueFd parent, OpenParent(source_, from));
        if (fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
          return Failed("reading", child);
        }
      }
      if (S_ISDIR(st.st_mode)) {
        ASSIGN_OR_RETURN(std::string made, Directory(Join(to, name)));
        RETURN_IF_ERROR(Contents(child, made));
        RETURN_IF_ERROR(DirectoryAttributes(child, st, made));
      } else {
        RETURN_IF_ERROR(Leaf(child, st, Join(to, name)));
      }
    }
    return absl::OkStatus();
  }

  // Makes it unless it is there; a symlink to a directory counts as that directory, whose path is
  // answered.
  absl::StatusOr<std::string> Directory(const std::string& path) {
    auto [parent_path, name] = archive::SplitPath(path);
    ASSIGN_OR_RETURN(UniqueFd parent, OpenParent(target_, std::string(parent_path)));
    if (mkdirat(parent.get(), std::string(name).c_str(), 0755) == 0) return path;
    if (errno != EEXIST) return Failed("making directory", path);
    if (!archive::OpenInRoot(target_, path, O_PATH | O_DIRECTORY).ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot copy a directory to ", Quoted(path), ": a file is there"));
    }
    return archive::RealPathInRoot(target_, path);
  }

  absl::Status DirectoryAttributes(const std::string& from, const struct stat& st,
                                   const std::string& to) {
    ASSIGN_OR_RETURN(UniqueFd source, archive::OpenStraight(source_, from, O_RDONLY | O_DIRECTORY));
    ASSIGN_OR_RETURN(UniqueFd target, archive::OpenStraight(target_, to, O_RDONLY | O_DIRECTORY));
    return Attributes(source.get(), st, target.get(), to);
  }

  absl::Status Attributes(int from, const struct stat& st, int to, const std::string& path) {
    if (fchown(to, options_.uid.value_or(st.st_uid), options_.gid.value_or(st.st_gid)) != 0) {
      return Failed("changing owner of", path);
    }
    mode_t mode = options_.mode != 0 ? options_.mode : st.st_mode & 07777;
    if (fchmod(to, mode) != 0) return Failed("changing mode of", path);
    ASSIGN_OR_RETURN(Xattrs xattrs, ReadXattrs(from, path));
    for (const auto& [key, value] : xattrs) {
      if (fsetxattr(to, key.c_str(), value.data(), value.size(), 0) != 0 && errno != EOPNOTSUPP) {
        return Failed("setting attributes of", path);
      }
    }
    struct timespec times[2] = {st.st_mtim, st.st_mtim};
    if (futimens(to, times) != 0) return Failed("changing times of", path);
    return absl::OkStatus();
  }

  // Everything but a directory.
  absl::Status Leaf(const std::string& from, const struct stat& st, const std::string& to) {
    if (S_ISSOCK(st.st_mode)) return absl::OkStatus();
    auto [from_parent, from_name] = archive::SplitPath(from);
    auto [to_parent, to_name] = archive::SplitPath(to);
    ASSIGN_OR_RETURN(UniqueFd source, OpenParent(source_, std::string(from_parent)));
    ASSIGN_OR_RETURN(UniqueFd target, OpenParent(target_, std::string(to_parent)));
    std::string name(to_name);
    if (unlinkat(target.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
      if (errno == EISDIR) {
        return absl::InvalidArgumentError(
            absl::StrCat("cannot copy a file to ", Quoted(to), ": a directory is there"));
      }
      return Failed("replacing", to);
    }
    if (S_ISREG(st.st_mode)) {
      return RegularFile(source.get(), std::string(from_name), st, target.get(), name, to);
    }
    if (S_ISLNK(st.st_mode)) {
      ASSIGN_OR_RETURN(std::string link, ReadLink(source.get(), std::string(from_name), from));
      if (symlinkat(link.c_str(), target.get(), name.c_str()) != 0) {
        return Failed("making symlink", to);
      }
    } else if (mknodat(target.get(), name.c_str(), st.st_mode & (S_IFMT | 07777), st.st_rdev) !=
               0) {
      return Failed("making device", to);
    }
    if (fchownat(target.get(), name.c_str(), options_.uid.value_or(st.st_uid),
                 options_.gid.value_or(st.st_gid), AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed("changing owner of", to);
    }
    struct timespec times[2] = {st.st_mtim, st.st_mtim};
    if (utimensat(target.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed("changing times of", to);
    }
    return absl::OkStatus();
  }

  absl::Status RegularFile(int source, const std::string& from, const struct stat& st, int target,
                           const std::string& name, const std::string& to) {
    if (st.st_nlink > 1) {
      auto first = linked_.find({st.st_dev, st.st_ino});
      if (first != linked_.end()) {
        auto [parent_path, leaf] = archive::SplitPath(first->second);
        ASSIGN_OR_RETURN(UniqueFd parent, OpenParent(target_, std::string(parent_path)));
        if (linkat(parent.get(), std::string(leaf).c_str(), target, name.c_str(), 0) == 0) {
          return absl::OkStatus();
        }
        return Failed("making hard link", to);
      }
      linked_[{st.st_dev, st.st_ino}] = to;
    }
    UniqueFd in(openat(source, from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!in.valid()) return Failed("opening", from);
    UniqueFd out(openat(target, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out.valid()) return Failed("making", to);
    RETURN_IF_ERROR(Content(in.get(), out.get(), to));
    return Attributes(in.get(), st, out.get(), to);
  }

  absl::Status Content(int in, int out, const std::string& path) {
    while (true) {
      ssize_t copied = copy_file_range(in, nullptr, out, nullptr, 1 << 30, 0);
      if (copied == 0) return absl::OkStatus();
      if (copied > 0 || errno == EINTR) continue;
      if (errno != EXDEV && errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS) {
        return Failed("copying to", path);
      }
      break;
    }
    archive::FdSource source(in);
    archive::FdSink sink(out);
    while (true) {
      ASSIGN_OR_RETURN(absl::string_view chunk, source.Next());
      if (chunk.empty()) return absl::OkStatus();
      RETURN_IF_ERROR(Annotate(sink.Write(chunk), Quoted(path)));
    }
  }

  int source_;
  int target_;
  const CopyOptions& options_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;
};

class TreeDigest {
 public:
  explicit TreeDigest(int source) : source_(source) {}

  absl::StatusOr<std::string> Run(const std::vector<std::string>& paths) {
    for (const std::string& named : paths) {
      ASSIGN_OR_RETURN(std::string path, archive::RealPathInRoot(source_, named));
      RETURN_IF_ERROR(One(path, std::string(archive::SplitPath(named).second)));
    }
    return stream_.Finish().text();
  }

 private:
  void Put(absl::string_view field) {
    stream_.Update(absl::StrCat(field.size(), ":"));
    stream_.Update(field);
  }

  absl::Status One(const std::string& path, const std::string& name) {
    ASSIGN_OR_RETURN(UniqueFd self, archive::OpenStraight(source_, path, O_PATH | O_NOFOLLOW));
    struct stat st;
    if (fstat(self.get(), &st) != 0) return Failed("reading", path);
    if (S_ISSOCK(st.st_mode)) return absl::OkStatus();
    Put(name);
    Put(absl::StrCat(st.st_mode, " ", st.st_uid, " ", st.st_gid, " ",
                     S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? st.st_rdev : 0));
    if (S_ISLNK(st.st_mode)) {
      char target[4097];
      ssize_t size = readlinkat(self.get(), "", target, sizeof target - 1);
      if (size < 0) return Failed("reading symlink", path);
      Put(absl::string_view(target, size));
      return absl::OkStatus();
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return absl::OkStatus();
    ASSIGN_OR_RETURN(UniqueFd content, archive::OpenStraight(source_, path, O_RDONLY));
    ASSIGN_OR_RETURN(Xattrs xattrs, ReadXattrs(content.get(), path));
    for (const auto& [key, value] : xattrs) {
      Put(key);
      Put(value);
    }
    if (S_ISREG(st.st_mode)) return Content(content.get(), st.st_size);
    ASSIGN_OR_RETURN(std::vector<std::string> names, SortedNames(content.get()));
    content.Reset();
    self.Reset();
    Put(absl::StrCat(names.size()));
    for (const std::string& child : names) RETURN_IF_ERROR(One(Join(path, child), child));
    return absl::OkStatus();
  }

  absl::Status Content(int fd, int64_t size) {
    Put(absl::StrCat(size));
    archive::FdSource source(fd);
    while (true) {
      ASSIGN_OR_RETURN(absl::string_view chunk, source.Next());
      if (chunk.empty()) return absl::OkStatus();
      stream_.Update(chunk);
    }
  }

  int source_;
  oci::DigestStream stream_;
};

}  // namespace

absl::Status CopyTree(int source, const std::vector<std::string>& paths, int target,
                      const CopyOptions& options) {
  return TreeCopier(source, target, options).Run(paths);
}

absl::StatusOr<std::string> DigestTree(int source, const std::vector<std::string>& paths) {
  return TreeDigest(source).Run(paths);
}

}  // namespace darse::runtime
