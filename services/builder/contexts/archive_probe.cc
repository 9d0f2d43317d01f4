#include "services/builder/contexts/archive_probe.h"

#include <unistd.h>

#include <algorithm>
#include <memory>

#include "libs/archive/decompress.h"
#include "libs/archive/tar_entry.h"
#include "libs/archive/tar_reader.h"
#include "libs/base/status_macros.h"

namespace darse::builder {
namespace {

constexpr int64_t kChunk = 1 << 18;
constexpr size_t kMagicBytes = 6;

}  // namespace

absl::StatusOr<absl::string_view> ContentOfFile::Next() {
  buffer_.resize(static_cast<size_t>(std::min(left_, kChunk)));
  if (buffer_.empty()) return absl::string_view();
  ssize_t got = pread(context_fd_, buffer_.data(), buffer_.size(), offset_);
  if (got < 0) return absl::ErrnoToStatus(errno, "read the build context");
  if (got == 0) return absl::DataLossError("the stored build context is cut off");
  buffer_.resize(static_cast<size_t>(got));
  offset_ += got;
  left_ -= got;
  return absl::string_view(buffer_);
}

absl::StatusOr<bool> IsArchive(const ContextFile& file, int context_fd) {
  if (file.type != FileType::kFile || file.size < 20) return false;
  ContentOfFile content(file, context_fd);
  archive::PeekSource raw(content);
  ASSIGN_OR_RETURN(absl::string_view magic, raw.Peek(kMagicBytes));
  archive::Compression compression = archive::DetectCompression(magic);
  std::unique_ptr<archive::ChunkSource> inflated = archive::MakeDecompressor(compression, raw);
  archive::PeekSource tar(*inflated);
  absl::StatusOr<absl::string_view> block = tar.Peek(archive::kTarBlock);
  // What only looks compressed is copied as it is.
  if (!block.ok()) {
    if (absl::IsInvalidArgument(block.status())) return false;
    return block.status();
  }
  // A block of zeros is an empty archive to tar, but for ADD it is a file.
  return block->size() >= archive::kTarBlock && (*block)[0] != '\0' &&
         archive::LooksLikeTar(block->substr(0, archive::kTarBlock));
}

}  // namespace darse::builder
