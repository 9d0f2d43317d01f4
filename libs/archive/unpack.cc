#include "libs/archive/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/archive/root_path.h"
#include "libs/archive/tar_reader.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"

namespace darse::archive {
namespace {

constexpr absl::string_view kWhiteout = ".wh.";
constexpr absl::string_view kOpaque = ".wh..wh..opq";
constexpr absl::string_view kReserved = ".wh..wh.";

std::string Quoted(absl::string_view name) {
  return absl::StrCat("\"", absl::CHexEscape(name.substr(0, 200)), "\"");
}

absl::Status Failed(int error, absl::string_view doing, absl::string_view name) {
  return absl::ErrnoToStatus(error, absl::StrCat(doing, " ", Quoted(name)));
}

// A relative target may not climb above the root, counted from the directory the link is in.
bool ClimbsOut(absl::string_view parent, absl::string_view target) {
  if (absl::StartsWith(target, "/")) return false;
  int depth = 0;
  for (absl::string_view part : absl::StrSplit(parent, '/', absl::SkipEmpty())) {
    (void)part;
    ++depth;
  }
  for (absl::string_view part : absl::StrSplit(target, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

std::string Below(absl::string_view parent, absl::string_view name) {
  return parent.empty() ? std::string(name) : absl::StrCat(parent, "/", name);
}

class Unpacker {
 public:
  Unpacker(ChunkSource& tar, int root, const UnpackOptions& options)
      : reader_(tar, options.recipe), root_(root), options_(options) {}

  absl::StatusOr<UnpackTotals> Run() {
    while (true) {
      ASSIGN_OR_RETURN(std::optional<TarEntry> entry, reader_.Next());
      if (!entry) break;
      ++totals_.entries;
      RETURN_IF_ERROR(One(*entry));
    }
    RETURN_IF_ERROR(SetDirectoryTimes());
    return std::move(totals_);
  }

 private:
  absl::Status One(TarEntry& entry) {
    ASSIGN_OR_RETURN(path_, CleanPath(entry.name));
    if (path_.empty()) return MakeRoot(entry);
    path_ = Below(options_.prefix, path_);
    auto [parent_path, name] = SplitPath(path_);
    RETURN_IF_ERROR(EnterParent(parent_path));
    name_ = std::string(name);
    path_ = Below(real_parent_, name_);
    if (options_.layer && absl::StartsWith(name_, kWhiteout)) return Whiteout();
    if (options_.uid) entry.uid = *options_.uid;
    if (options_.gid) entry.gid = *options_.gid;
    if (options_.mode != 0) entry.mode = options_.mode;
    switch (entry.type) {
      case EntryType::kDirectory:
        return MakeDirectory(entry);
      case EntryType::kFile:
        return MakeFile(entry);
      case EntryType::kSymlink:
        return MakeSymlink(entry);
      case EntryType::kHardLink:
        return MakeHardLink(entry);
      case EntryType::kCharDevice:
      case EntryType::kBlockDevice:
      case EntryType::kFifo:
        return MakeNode(entry);
    }
    return absl::OkStatus();
  }

  // Members of one directory mostly follow each other: it stays open. No member can replace a
  // directory on the way to its own parent, so the open one stays true.
  absl::Status EnterParent(absl::string_view parent_path) {
    if (parent_.valid() && parent_path == parent_path_) return absl::OkStatus();
    real_parent_ = std::string(parent_path);
    absl::StatusOr<UniqueFd> straight = OpenStraight(root_, parent_path, O_PATH | O_DIRECTORY);
    if (straight.ok()) {
      parent_ = *std::move(straight);
    } else {
      ASSIGN_OR_RETURN(real_parent_, RealPathInRoot(root_, parent_path));
      ASSIGN_OR_RETURN(parent_, MakeDirectoriesInRoot(root_, real_parent_, options_.uid.value_or(0),
                                                      options_.gid.value_or(0)));
    }
    parent_path_ = std::string(parent_path);
    return absl::OkStatus();
  }

  absl::Status MakeRoot(const TarEntry& entry) {
    if (entry.type != EntryType::kDirectory) {
      return absl::InvalidArgumentError(
          absl::StrCat("tar: member ", Quoted(entry.name), " would replace the root"));
    }
    // COPY gives the root of what it copies no say over the directory it goes to.
    if (!options_.layer) return absl::OkStatus();
    ASSIGN_OR_RETURN(UniqueFd root, OpenInRoot(root_, "", O_RDONLY | O_DIRECTORY));
    if (fchown(root.get(), entry.uid, entry.gid) != 0)
      return Failed(errno, "changing owner of", "/");
    if (fchmod(root.get(), entry.mode) != 0) return Failed(errno, "changing mode of", "/");
    RETURN_IF_ERROR(SetXattrs(root.get(), entry));
    directories_[""] = Times(entry);
    return absl::OkStatus();
  }

  // Takes away what is in the place of the present member.
  absl::Status Clear() {
    if (options_.recipe != nullptr) {
      ASSIGN_OR_RETURN(std::string orphan, options_.recipe->Moved(path_));
      if (renameat(parent_.get(), name_.c_str(), options_.orphans, orphan.c_str()) != 0) {
        return Failed(errno, "replacing", path_);
      }
    } else {
      RETURN_IF_ERROR(RemoveTree(parent_.get(), name_));
    }
    // What was below it is gone with it.
    std::string below = absl::StrCat(path_, "/");
    for (auto it = directories_.begin(); it != directories_.end();) {
      if (it->first == path_ || absl::StartsWith(it->first, below)) {
        directories_.erase(it++);
      } else {
        ++it;
      }
    }
    return absl::OkStatus();
  }

  // Whether something is in the place of the present member, and what.
  bool Exists(struct stat* st) const {
    return fstatat(parent_.get(), name_.c_str(), st, AT_SYMLINK_NOFOLLOW) == 0;
  }

  static bool IsWhiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == 0; }

  absl::Status Whiteout() {
    if (name_ == kOpaque) {
      totals_.opaque.push_back(real_parent_);
      return absl::OkStatus();
    }
    // Left over from aufs; nothing of it is content.
    if (absl::StartsWith(name_, kReserved)) return absl::OkStatus();
    name_ = name_.substr(kWhiteout.size());
    if (name_.empty() || name_ == "." || name_ == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("tar: whiteout ", Quoted(path_), " names nothing"));
    }
    path_ = Below(real_parent_, name_);
    struct stat st;
    if (Exists(&st)) {
      // A whiteout hides lower layers, not its own: of a directory that is what opaque says.
      if (S_ISDIR(st.st_mode)) totals_.opaque.push_back(path_);
      return absl::OkStatus();
    }
    if (mknodat(parent_.get(), name_.c_str(), S_IFCHR, makedev(0, 0)) != 0) {
      return Failed(errno, "making whiteout", path_);
    }
    return absl::OkStatus();
  }

  absl::Status MakeDirectory(const TarEntry& entry) {
    bool hides = false;
    if (mkdirat(parent_.get(), name_.c_str(), 0700) != 0) {
      struct stat st;
      if (errno != EEXIST) return Failed(errno, "making directory", path_);
      if (!Exists(&st)) return Failed(errno, "reading", path_);
      if (!options_.layer && S_ISLNK(st.st_mode) &&
          OpenInRoot(root_, path_, O_PATH | O_DIRECTORY).ok()) {
        return absl::OkStatus();
      }
      if (!S_ISDIR(st.st_mode)) {
        hides = options_.layer && IsWhiteout(st);
        RETURN_IF_ERROR(Clear());
        if (mkdirat(parent_.get(), name_.c_str(), 0700) != 0) {
          return Failed(errno, "making directory", path_);
        }
      }
    }
    if (hides) totals_.opaque.push_back(path_);
    UniqueFd self(
        openat(parent_.get(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!self.valid()) return Failed(errno, "opening", path_);
    if (fchown(self.get(), entry.uid, entry.gid) != 0)
      return Failed(errno, "changing owner of", path_);
    if (fchmod(self.get(), entry.mode) != 0) return Failed(errno, "changing mode of", path_);
    RETURN_IF_ERROR(SetXattrs(self.get(), entry));
    directories_[path_] = Times(entry);
    return absl::OkStatus();
  }

  absl::Status MakeFile(const TarEntry& entry) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd file(openat(parent_.get(), name_.c_str(), kFlags, 0600));
    if (!file.valid() && errno == EEXIST) {
      RETURN_IF_ERROR(Clear());
      file.Reset(openat(parent_.get(), name_.c_str(), kFlags, 0600));
    }
    if (!file.valid()) return Failed(errno, "making", path_);
    if (options_.recipe != nullptr) {
      RETURN_IF_ERROR(options_.recipe->File(path_, entry.size));
    }
    FdSink out(file.get());
    while (true) {
      ASSIGN_OR_RETURN(absl::string_view part, reader_.ReadContent());
      if (part.empty()) break;
      RETURN_IF_ERROR(Annotate(out.Write(part), Quoted(path_)));
    }
    totals_.bytes += entry.size;
    if (fchown(file.get(), entry.uid, entry.gid) != 0)
      return Failed(errno, "changing owner of", path_);
    if (fchmod(file.get(), entry.mode) != 0) return Failed(errno, "changing mode of", path_);
    RETURN_IF_ERROR(SetXattrs(file.get(), entry));
    struct timespec times[2] = {Times(entry), Times(entry)};
    if (futimens(file.get(), times) != 0) return Failed(errno, "changing times of", path_);
    return absl::OkStatus();
  }

  absl::Status MakeSymlink(const TarEntry& entry) {
    if (entry.link_name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tar: symlink ", Quoted(path_), " has no target"));
    }
    if (ClimbsOut(real_parent_, entry.link_name)) {
      return absl::InvalidArgumentError(absl::StrCat("tar: symlink ", Quoted(path_), " to ",
                                                     Quoted(entry.link_name),
                                                     " leads out of the root"));
    }
    if (symlinkat(entry.link_name.c_str(), parent_.get(), name_.c_str()) != 0) {
      if (errno != EEXIST) return Failed(errno, "making symlink", path_);
      RETURN_IF_ERROR(Clear());
      if (symlinkat(entry.link_name.c_str(), parent_.get(), name_.c_str()) != 0) {
        return Failed(errno, "making symlink", path_);
      }
    }
    return SetOwnerAndTimes(entry);
  }

  absl::Status MakeHardLink(const TarEntry& entry) {
    ASSIGN_OR_RETURN(std::string target, CleanPath(entry.link_name));
    target = Below(options_.prefix, target);
    auto [target_parent, target_name] = SplitPath(target);
    if (target_name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tar: hard link ", Quoted(path_), " has no target"));
    }
    if (target == path_) return absl::OkStatus();
    absl::StatusOr<UniqueFd> directory = OpenInRoot(root_, target_parent, O_PATH | O_DIRECTORY);
    std::string leaf(target_name);
    struct stat st;
    if (!directory.ok() || fstatat(directory->get(), leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        S_ISDIR(st.st_mode) || (options_.layer && IsWhiteout(st))) {
      return absl::InvalidArgumentError(absl::StrCat("tar: hard link ", Quoted(path_), " to ",
                                                     Quoted(entry.link_name),
                                                     ", which is no member before it"));
    }
    if (linkat(directory->get(), leaf.c_str(), parent_.get(), name_.c_str(), 0) == 0) {
      return absl::OkStatus();
    }
    if (errno != EEXIST) return Failed(errno, "making hard link", path_);
    struct stat present;
    if (Exists(&present) && present.st_ino == st.st_ino && present.st_dev == st.st_dev) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(Clear());
    if (linkat(directory->get(), leaf.c_str(), parent_.get(), name_.c_str(), 0) != 0) {
      return Failed(errno, "making hard link", path_);
    }
    return absl::OkStatus();
  }

  absl::Status MakeNode(const TarEntry& entry) {
    mode_t type = entry.type == EntryType::kFifo         ? S_IFIFO
                  : entry.type == EntryType::kCharDevice ? S_IFCHR
                                                         : S_IFBLK;
    dev_t device = makedev(entry.device_major, entry.device_minor);
    if (type == S_IFCHR && device == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("tar: device ", Quoted(path_), " 0/0 is overlay's own mark"));
    }
    if (mknodat(parent_.get(), name_.c_str(), type | 0600, device) != 0) {
      if (errno != EEXIST) return Failed(errno, "making device", path_);
      RETURN_IF_ERROR(Clear());
      if (mknodat(parent_.get(), name_.c_str(), type | 0600, device) != 0) {
        return Failed(errno, "making device", path_);
      }
    }
    RETURN_IF_ERROR(SetOwnerAndTimes(entry));
    if (fchmodat(parent_.get(), name_.c_str(), entry.mode, 0) != 0) {
      return Failed(errno, "changing mode of", path_);
    }
    return absl::OkStatus();
  }

  absl::Status SetOwnerAndTimes(const TarEntry& entry) {
    if (fchownat(parent_.get(), name_.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed(errno, "changing owner of", path_);
    }
    struct timespec times[2] = {Times(entry), Times(entry)};
    if (utimensat(parent_.get(), name_.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed(errno, "changing times of", path_);
    }
    return absl::OkStatus();
  }

  absl::Status SetXattrs(int fd, const TarEntry& entry) {
    for (const auto& [key, value] : entry.xattrs) {
      if (absl::StartsWith(key, "trusted.overlay.")) {
        return absl::InvalidArgumentError(
            absl::StrCat("tar: member ", Quoted(path_), " carries the attribute ", Quoted(key)));
      }
      // Labels of the host that packed it (SELinux, IMA) mean nothing on this one.
      if (key != "security.capability" && !absl::StartsWith(key, "user.")) continue;
      if (fsetxattr(fd, key.c_str(), value.data(), value.size(), 0) != 0) {
        if (errno == EOPNOTSUPP) continue;
        return Failed(errno, absl::StrCat("setting attribute ", Quoted(key), " of"), path_);
      }
    }
    return absl::OkStatus();
  }

  static struct timespec Times(const TarEntry& entry) {
    return {.tv_sec = entry.mtime_seconds, .tv_nsec = static_cast<long>(entry.mtime_nanoseconds)};
  }

  absl::Status SetDirectoryTimes() {
    for (const auto& [path, time] : directories_) {
      absl::StatusOr<UniqueFd> directory =
          OpenInRoot(root_, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!directory.ok()) continue;
      struct timespec times[2] = {time, time};
      if (futimens(directory->get(), times) != 0) return Failed(errno, "changing times of", path);
    }
    return absl::OkStatus();
  }

  TarReader reader_;
  int root_;
  const UnpackOptions& options_;
  UnpackTotals totals_;
  // The present member: its path without symlinks, the open directory it is in, its name there.
  std::string path_;
  std::string name_;
  UniqueFd parent_;
  // As the tar says it, and with its symlinks followed.
  std::string parent_path_;
  std::string real_parent_;
  absl::flat_hash_map<std::string, struct timespec> directories_;
};

}  // namespace

absl::StatusOr<UnpackTotals> Unpack(ChunkSource& tar, int root, const UnpackOptions& options) {
  return Unpacker(tar, root, options).Run();
}

}  // namespace darse::archive
