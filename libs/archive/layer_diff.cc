#include "libs/archive/layer_diff.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/archive/root_path.h"
#include "libs/archive/tar_entry.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"

namespace darse::archive {
namespace {

constexpr absl::string_view kWhiteout = ".wh.";
constexpr size_t kMaxPath = 4096;

std::string Quoted(absl::string_view path) {
  return absl::StrCat("\"", absl::CHexEscape(path.substr(0, 200)), "\"");
}

absl::Status Failed(absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(doing, " ", Quoted(path)));
}

absl::StatusOr<std::vector<std::string>> SortedNames(int directory) {
  int fd = dup(directory);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(fd), closedir);
  if (stream == nullptr) return absl::ErrnoToStatus(errno, "reading a directory");
  rewinddir(stream.get());
  std::vector<std::string> names;
  while (struct dirent* entry = readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

class LayerDiff {
 public:
  LayerDiff(int upper, const LayerDiffOptions& options, ChunkSink& tar)
      : upper_(upper), options_(options), tar_(tar) {}

  absl::StatusOr<LayerDiffTotals> Run() {
    RETURN_IF_ERROR(Directory(""));
    RETURN_IF_ERROR(Structure(std::string(2 * kTarBlock, '\0')));
    return totals_;
  }

 private:
  absl::Status Structure(absl::string_view bytes) {
    totals_.tar_bytes += static_cast<int64_t>(bytes.size());
    if (options_.recipe != nullptr) RETURN_IF_ERROR(options_.recipe->Write(bytes));
    return tar_.Write(bytes);
  }

  TarEntry EntryOf(const struct stat& st) const {
    TarEntry entry{.mode = st.st_mode & 07777, .uid = st.st_uid, .gid = st.st_gid};
    entry.mtime_seconds = st.st_mtim.tv_sec;
    entry.mtime_nanoseconds = static_cast<uint32_t>(st.st_mtim.tv_nsec);
    if (options_.clamp_seconds >= 0 && entry.mtime_seconds >= options_.clamp_seconds) {
      entry.mtime_seconds = options_.clamp_seconds;
      entry.mtime_nanoseconds = 0;
    }
    return entry;
  }

  // What the tar says of its time, the file says too.
  absl::Status SetTime(int fd, const TarEntry& entry, const std::string& path) {
    struct timespec time = {.tv_sec = entry.mtime_seconds, .tv_nsec = entry.mtime_nanoseconds};
    struct timespec times[2] = {time, time};
    if (futimens(fd, times) != 0) return Failed("changing times of", path);
    return absl::OkStatus();
  }
  absl::Status SetTimeAt(int parent, const std::string& name, const TarEntry& entry,
                         const std::string& path) {
    struct timespec time = {.tv_sec = entry.mtime_seconds, .tv_nsec = entry.mtime_nanoseconds};
    struct timespec times[2] = {time, time};
    if (utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed("changing times of", path);
    }
    return absl::OkStatus();
  }

  // Attributes that are content go to the entry; overlay's own are looked at and taken away.
  absl::Status ReadXattrs(int fd, const std::string& path, TarEntry* entry, bool* opaque) {
    char names[64 << 10];
    ssize_t size = flistxattr(fd, names, sizeof names);
    if (size < 0 && errno == EOPNOTSUPP) return absl::OkStatus();
    if (size < 0) return Failed("reading attributes of", path);
    for (absl::string_view name :
         absl::StrSplit(absl::string_view(names, size), '\0', absl::SkipEmpty())) {
      std::string key(name);
      std::string value(64 << 10, '\0');
      ssize_t got = fgetxattr(fd, key.c_str(), value.data(), value.size());
      if (got < 0) return Failed("reading attributes of", path);
      value.resize(got);
      if (key == "security.capability" || absl::StartsWith(key, "user.")) {
        entry->xattrs[key] = value;
      } else if (key == "trusted.overlay.opaque") {
        *opaque = value == "y";
      } else if (key == "trusted.overlay.redirect" || key == "trusted.overlay.metacopy") {
        return absl::FailedPreconditionError(
            absl::StrCat("a layer cannot hold ", Quoted(path), ": it is a ", key));
      } else if (absl::StartsWith(key, "trusted.overlay.")) {
        if (fremovexattr(fd, key.c_str()) != 0) return Failed("cleaning attributes of", path);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Directory(const std::string& path) {
    if (path.size() > kMaxPath - 32) {
      return absl::FailedPreconditionError(
          absl::StrCat("a layer cannot hold ", Quoted(path), ": its path is too long"));
    }
    ASSIGN_OR_RETURN(UniqueFd self, OpenStraight(upper_, path, O_RDONLY | O_DIRECTORY));
    struct stat st;
    if (fstat(self.get(), &st) != 0) return Failed("reading", path);
    TarEntry entry = EntryOf(st);
    entry.type = EntryType::kDirectory;
    entry.name = path.empty() ? "./" : absl::StrCat(path, "/");
    bool opaque = false;
    RETURN_IF_ERROR(ReadXattrs(self.get(), path, &entry, &opaque));
    RETURN_IF_ERROR(Structure(FormatHeader(entry)));
    if (opaque) {
      TarEntry mark = EntryOf(st);
      mark.mode = 0;
      mark.name = path.empty() ? ".wh..wh..opq" : absl::StrCat(path, "/.wh..wh..opq");
      RETURN_IF_ERROR(Structure(FormatHeader(mark)));
    }
    ASSIGN_OR_RETURN(std::vector<std::string> names, SortedNames(self.get()));
    for (const std::string& name : names) {
      std::string child = path.empty() ? name : absl::StrCat(path, "/", name);
      if (absl::StartsWith(name, kWhiteout)) {
        return absl::FailedPreconditionError(
            absl::StrCat("a layer cannot hold ", Quoted(child), ": such names mark deletions"));
      }
      struct stat child_st;
      if (fstatat(self.get(), name.c_str(), &child_st, AT_SYMLINK_NOFOLLOW) != 0) {
        return Failed("reading", child);
      }
      if (S_ISDIR(child_st.st_mode)) {
        // One descriptor at a time: the tree may be deeper than the limit.
        self.Reset();
        RETURN_IF_ERROR(Directory(child));
        ASSIGN_OR_RETURN(self, OpenStraight(upper_, path, O_RDONLY | O_DIRECTORY));
      } else {
        RETURN_IF_ERROR(Leaf(self.get(), path, name, child, child_st));
      }
    }
    // Last: removing a socket changed it.
    return SetTime(self.get(), entry, path);
  }

  absl::Status Leaf(int parent, const std::string& parent_path, const std::string& name,
                    const std::string& path, const struct stat& st) {
    if (S_ISSOCK(st.st_mode)) {
      // Means nothing without the process that made it; no tar can hold it.
      if (unlinkat(parent, name.c_str(), 0) != 0) return Failed("removing", path);
      return absl::OkStatus();
    }
    TarEntry entry = EntryOf(st);
    entry.name = path;
    if (S_ISCHR(st.st_mode) && st.st_rdev == 0) {
      entry.name = parent_path.empty() ? absl::StrCat(kWhiteout, name)
                                       : absl::StrCat(parent_path, "/", kWhiteout, name);
      entry.mode = 0;
      entry.uid = 0;
      entry.gid = 0;
      if (options_.clamp_seconds >= 0) entry.mtime_seconds = options_.clamp_seconds;
      entry.mtime_nanoseconds = 0;
      return Structure(FormatHeader(entry));
    }
    if (st.st_nlink > 1) {
      auto [first, added] = linked_.try_emplace(st.st_ino, path);
      if (!added) {
        entry.type = EntryType::kHardLink;
        entry.link_name = first->second;
        return Structure(FormatHeader(entry));
      }
    }
    if (S_ISREG(st.st_mode)) return File(parent, name, path, st, std::move(entry));
    if (S_ISLNK(st.st_mode)) {
      char target[4097];
      ssize_t size = readlinkat(parent, name.c_str(), target, sizeof target - 1);
      if (size < 0) return Failed("reading symlink", path);
      entry.type = EntryType::kSymlink;
      entry.link_name = std::string(target, size);
    } else if (S_ISFIFO(st.st_mode)) {
      entry.type = EntryType::kFifo;
    } else {
      entry.type = S_ISCHR(st.st_mode) ? EntryType::kCharDevice : EntryType::kBlockDevice;
      entry.device_major = major(st.st_rdev);
      entry.device_minor = minor(st.st_rdev);
    }
    RETURN_IF_ERROR(Structure(FormatHeader(entry)));
    return SetTimeAt(parent, name, entry, path);
  }

  absl::Status File(int parent, const std::string& name, const std::string& path,
                    const struct stat& st, TarEntry entry) {
    UniqueFd file(openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file.valid()) return Failed("opening", path);
    bool opaque = false;
    RETURN_IF_ERROR(ReadXattrs(file.get(), path, &entry, &opaque));
    entry.size = st.st_size;
    RETURN_IF_ERROR(Structure(FormatHeader(entry)));
    if (options_.recipe != nullptr) RETURN_IF_ERROR(options_.recipe->File(path, entry.size));
    int64_t left = entry.size;
    FdSource content(file.get());
    while (left > 0) {
      ASSIGN_OR_RETURN(absl::string_view chunk, content.Next());
      if (chunk.empty() || static_cast<int64_t>(chunk.size()) > left) {
        return absl::FailedPreconditionError(
            absl::StrCat(Quoted(path), " changed while it was read"));
      }
      left -= static_cast<int64_t>(chunk.size());
      RETURN_IF_ERROR(tar_.Write(chunk));
    }
    totals_.bytes += entry.size;
    totals_.tar_bytes += entry.size;
    RETURN_IF_ERROR(Structure(std::string(Padding(entry.size), '\0')));
    return SetTime(file.get(), entry, path);
  }

  int upper_;
  const LayerDiffOptions& options_;
  ChunkSink& tar_;
  LayerDiffTotals totals_;
  std::map<ino_t, std::string> linked_;
};

}  // namespace

absl::StatusOr<LayerDiffTotals> WriteLayerDiff(int upper, const LayerDiffOptions& options,
                                               ChunkSink& tar) {
  return LayerDiff(upper, options, tar).Run();
}

}  // namespace darse::archive
