#include "services/builder/contexts/selection_tar.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/archive/tar_entry.h"

namespace darse::builder {
namespace {

constexpr size_t kChunk = 1 << 18;
constexpr size_t kEndBytes = 2 * archive::kTarBlock;

archive::TarEntry EntryOf(const SelectedFile& selected) {
  archive::TarEntry entry{
      .name = selected.target, .mode = selected.file.mode, .mtime_seconds = selected.file.mtime};
  switch (selected.file.type) {
    case FileType::kFile:
      entry.size = selected.file.size;
      break;
    case FileType::kDirectory:
      entry.type = archive::EntryType::kDirectory;
      entry.name += "/";
      break;
    case FileType::kSymlink:
      entry.type = archive::EntryType::kSymlink;
      entry.link_name = selected.file.link;
      entry.mode = 0777;
      break;
  }
  return entry;
}

}  // namespace

SelectionTar::SelectionTar(const Selection& selection, int context_fd, bool all_directories)
    : selection_(selection), context_fd_(context_fd), all_directories_(all_directories) {}

bool SelectionTar::IsLeftOut(size_t index) const {
  const SelectedFile& one = selection_.files[index];
  if (all_directories_ || one.file.type != FileType::kDirectory || one.file.mode != 0755) {
    return false;
  }
  // What a directory holds follows it at once, as paths are sorted; "a.b" may stand between "a" and
  // "a/x".
  for (size_t i = index + 1; i < selection_.files.size(); ++i) {
    const std::string& next = selection_.files[i].target;
    if (absl::StartsWith(next, one.target + "/")) return true;
    if (!absl::StartsWith(next, one.target)) return false;
  }
  return false;
}

absl::StatusOr<absl::string_view> SelectionTar::Next() {
  buffer_.clear();
  while (buffer_.size() < kChunk) {
    if (content_left_ > 0) {
      size_t start = buffer_.size();
      size_t want = static_cast<size_t>(std::min<int64_t>(content_left_, kChunk));
      buffer_.resize(start + want);
      ssize_t got = pread(context_fd_, buffer_.data() + start, want, content_offset_);
      if (got < 0) return absl::ErrnoToStatus(errno, "read the build context");
      if (got == 0) return absl::DataLossError("the stored build context is cut off");
      buffer_.resize(start + got);
      content_offset_ += got;
      content_left_ -= got;
      if (content_left_ == 0) {
        buffer_.append(archive::Padding(selection_.files[next_ - 1].file.size), '\0');
      }
      continue;
    }
    if (next_ == selection_.files.size()) {
      if (!ended_) buffer_.append(kEndBytes, '\0');
      ended_ = true;
      break;
    }
    size_t index = next_++;
    if (IsLeftOut(index)) continue;
    const SelectedFile& one = selection_.files[index];
    archive::TarEntry entry = EntryOf(one);
    buffer_ += archive::FormatHeader(entry);
    content_offset_ = one.file.offset;
    content_left_ = entry.size;
  }
  return absl::string_view(buffer_);
}

std::string InlineTar(const std::vector<std::pair<std::string, std::string>>& files,
                      int64_t mtime) {
  std::string tar;
  for (const auto& [name, content] : files) {
    archive::TarEntry entry{
        .name = name, .size = static_cast<int64_t>(content.size()), .mtime_seconds = mtime};
    absl::StrAppend(&tar, archive::FormatHeader(entry), content);
    tar.append(archive::Padding(entry.size), '\0');
  }
  tar.append(kEndBytes, '\0');
  return tar;
}

}  // namespace darse::builder
