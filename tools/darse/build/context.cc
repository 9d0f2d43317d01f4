#include "tools/darse/build/context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/archive/tar_entry.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/dockerfile/ignore/ignore_rules.h"
#include "libs/oci/digest.h"
#include "tools/darse/options/surroundings.h"

namespace darse::client {

struct BuildContext::Rules {
  dockerfile::IgnoreRules ignore;
};

namespace {

using archive::EntryType;
using archive::TarEntry;

struct Walk {
  const dockerfile::IgnoreRules& ignore;
  TarSink sink;
  std::string block = std::string(1 << 18, 0);

  absl::Status Put(const TarEntry& entry) { return sink(archive::FormatHeader(entry)); }

  absl::Status PutFile(int directory, const char* name, TarEntry entry) {
    UniqueFd file(openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat found;
    if (!file.valid() || fstat(file.get(), &found) != 0)
      return absl::ErrnoToStatus(errno, entry.name);
    entry.size = found.st_size;
    RETURN_IF_ERROR(Put(entry));
    int64_t left = entry.size;
    while (left > 0) {
      ssize_t got = read(file.get(), block.data(), std::min<int64_t>(left, block.size()));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return absl::ErrnoToStatus(errno, entry.name);
      if (got == 0) {
        return absl::FailedPreconditionError(
            absl::StrCat(entry.name, " became shorter while it was read: build again"));
      }
      RETURN_IF_ERROR(sink(absl::string_view(block.data(), got)));
      left -= got;
    }
    return sink(std::string(archive::Padding(entry.size), 0));
  }

  absl::Status PutLink(int directory, const char* name, TarEntry entry) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(directory, name, target, sizeof target);
    if (length < 0) return absl::ErrnoToStatus(errno, entry.name);
    entry.type = EntryType::kSymlink;
    entry.link_name.assign(target, length);
    return Put(entry);
  }

  // All below `directory`, whose name in the tar is `prefix` ("" or "a/").
  absl::Status Directory(UniqueFd directory, const std::string& prefix) {
    std::vector<std::string> names;
    const int fd = directory.get();
    DIR* open = fdopendir(directory.Release());
    if (open == nullptr) return absl::ErrnoToStatus(errno, prefix);
    absl::Status status;
    while (dirent* found = readdir(open)) {
      const std::string name = found->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      status = Entry(fd, name, absl::StrCat(prefix, name));
      if (!status.ok()) break;
    }
    closedir(open);
    return status;
  }

  absl::Status Entry(int directory, const std::string& name, const std::string& path) {
    struct stat found;
    if (fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
      return absl::ErrnoToStatus(errno, path);
    }
    const bool ignored = ignore.Ignores(path);
    TarEntry entry;
    entry.name = path;
    entry.mode = found.st_mode & 07777;
    if (S_ISDIR(found.st_mode)) {
      if (ignored && ignore.CanSkipDirectory(path)) return absl::OkStatus();
      if (!ignored) {
        entry.type = EntryType::kDirectory;
        entry.name += "/";
        RETURN_IF_ERROR(Put(entry));
      }
      UniqueFd below(
          openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
      if (!below.valid()) return absl::ErrnoToStatus(errno, path);
      return Directory(std::move(below), path + "/");
    }
    if (ignored) return absl::OkStatus();
    if (S_ISREG(found.st_mode)) return PutFile(directory, name.c_str(), std::move(entry));
    if (S_ISLNK(found.st_mode)) return PutLink(directory, name.c_str(), std::move(entry));
    // Sockets, pipes and devices are no input of a build; docker leaves them out, too.
    return absl::OkStatus();
  }
};

}  // namespace

absl::StatusOr<BuildContext> BuildContext::Open(absl::string_view directory,
                                                absl::string_view dockerfile) {
  struct stat found;
  BuildContext context{std::string(directory)};
  if (stat(context.directory_.c_str(), &found) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("build context ", directory));
  }
  if (!S_ISDIR(found.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("build context ", directory, " is no directory"));
  }
  auto rules = std::make_shared<Rules>();
  RealSurroundings around;
  std::vector<std::string> names = {".dockerignore"};
  if (!dockerfile.empty()) names.insert(names.begin(), absl::StrCat(dockerfile, ".dockerignore"));
  for (const std::string& name : names) {
    absl::StatusOr<std::string> content = around.ReadFile(absl::StrCat(directory, "/", name));
    if (absl::IsNotFound(content.status())) continue;
    RETURN_IF_ERROR(content.status());
    ASSIGN_OR_RETURN(rules->ignore, dockerfile::IgnoreRules::Parse(*content, name));
    break;
  }
  context.rules_ = std::move(rules);
  return context;
}

bool BuildContext::Holds(absl::string_view path) const { return !rules_->ignore.Ignores(path); }

absl::Status BuildContext::Write(TarSink sink) const {
  UniqueFd top(open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top.valid()) return absl::ErrnoToStatus(errno, directory_);
  Walk walk{rules_->ignore, sink};
  RETURN_IF_ERROR(Annotate(walk.Directory(std::move(top), ""), "packing the build context"));
  return sink(std::string(2 * archive::kTarBlock, 0));
}

absl::StatusOr<std::string> BuildContext::Digest(int64_t& bytes) const {
  oci::DigestStream digest;
  bytes = 0;
  RETURN_IF_ERROR(Write([&](absl::string_view chunk) {
    digest.Update(chunk);
    bytes += static_cast<int64_t>(chunk.size());
    return absl::OkStatus();
  }));
  return digest.Finish().text();
}

}  // namespace darse::client
