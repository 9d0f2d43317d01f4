#include "services/builder/contexts/context_files.h"

#include <unistd.h>

#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/root_path.h"
#include "libs/archive/tar_entry.h"
#include "libs/archive/tar_reader.h"
#include "libs/base/status_macros.h"
#include "libs/oci/digest.h"

namespace darse::builder {
namespace {

constexpr int kMaxLinks = 40;
constexpr size_t kMaxFiles = 1'000'000;

// Knows where in the stream the bytes lie that it answered last.
class PositionSource final : public archive::ChunkSource {
 public:
  explicit PositionSource(int fd) : inner_(fd) {}
  absl::StatusOr<absl::string_view> Next() override {
    start_ += static_cast<int64_t>(chunk_.size());
    ASSIGN_OR_RETURN(chunk_, inner_.Next());
    return chunk_;
  }
  // Of `part`, which lies in the newest chunk.
  int64_t PositionOf(absl::string_view part) const {
    return start_ + (part.data() - chunk_.data());
  }

 private:
  archive::FdSource inner_;
  absl::string_view chunk_;
  int64_t start_ = 0;
};

absl::Status ReadContent(archive::TarReader& reader, const PositionSource& source,
                         ContextFile& file) {
  oci::DigestStream digest;
  bool first = true;
  while (true) {
    ASSIGN_OR_RETURN(absl::string_view part, reader.ReadContent());
    if (part.empty()) break;
    if (std::exchange(first, false)) file.offset = source.PositionOf(part);
    digest.Update(part);
  }
  file.content = digest.Finish().text();
  return absl::OkStatus();
}

void AddParents(const std::string& path, ContextFiles& files) {
  for (size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0;
       slash = path.rfind('/', slash - 1)) {
    ContextFile parent{.type = FileType::kDirectory, .mode = 0755};
    if (!files.emplace(path.substr(0, slash), std::move(parent)).second) return;
  }
}

}  // namespace

absl::StatusOr<ContextFiles> IndexContext(int fd) {
  if (lseek(fd, 0, SEEK_SET) != 0) return absl::ErrnoToStatus(errno, "seek in the context");
  PositionSource source(fd);
  archive::TarReader reader(source);
  ContextFiles files;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<archive::TarEntry> entry, reader.Next());
    if (!entry) break;
    ASSIGN_OR_RETURN(std::string path, archive::CleanPath(entry->name));
    if (path.empty()) continue;
    if (files.size() >= kMaxFiles) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the build context holds more than ", kMaxFiles, " files"));
    }
    ContextFile file{.mode = entry->mode & 07777, .mtime = entry->mtime_seconds};
    switch (entry->type) {
      case archive::EntryType::kFile:
        file.size = entry->size;
        RETURN_IF_ERROR(ReadContent(reader, source, file));
        break;
      case archive::EntryType::kDirectory:
        file.type = FileType::kDirectory;
        break;
      case archive::EntryType::kSymlink:
        file.type = FileType::kSymlink;
        file.link = entry->link_name;
        break;
      case archive::EntryType::kHardLink: {
        ASSIGN_OR_RETURN(std::string target, archive::CleanPath(entry->link_name));
        auto found = files.find(target);
        if (found == files.end() || found->second.type != FileType::kFile) {
          return absl::InvalidArgumentError(
              absl::StrCat("build context: \"", path, "\" is a hard link to nothing"));
        }
        file = found->second;
        break;
      }
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("build context: \"", path, "\" is a device or a pipe"));
    }
    AddParents(path, files);
    files[path] = std::move(file);
  }
  return files;
}

absl::StatusOr<std::string> ResolvePath(const ContextFiles& files, absl::string_view path) {
  std::vector<std::string> resolved;
  std::deque<std::string> rest = absl::StrSplit(path, '/', absl::SkipEmpty());
  int links = 0;
  while (!rest.empty()) {
    std::string part = std::move(rest.front());
    rest.pop_front();
    if (part == ".") continue;
    if (part == "..") {
      if (!resolved.empty()) resolved.pop_back();
      continue;
    }
    resolved.push_back(std::move(part));
    auto found = files.find(absl::StrJoin(resolved, "/"));
    if (found == files.end()) return absl::NotFoundError(absl::StrCat("\"", path, "\""));
    if (found->second.type != FileType::kSymlink) continue;
    if (++links > kMaxLinks) {
      return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" is a circle of symlinks"));
    }
    resolved.pop_back();
    if (absl::StartsWith(found->second.link, "/")) resolved.clear();
    std::vector<std::string> target = absl::StrSplit(found->second.link, '/', absl::SkipEmpty());
    rest.insert(rest.begin(), target.begin(), target.end());
  }
  return absl::StrJoin(resolved, "/");
}

}  // namespace darse::builder
