// Reads a tar as it comes: ustar, old v7, pax (per file and global), GNU long names. Hostile input
// is the normal case: every number is checked, every extension bounded. Sparse members are refused.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/tar_entry.h"

namespace darse::archive {

// One thread only.
class TarReader {
 public:
  // `structure`, if given, is written every byte that is no entry's content: headers, padding, and
  // all that follows the end mark. Both must outlive this.
  explicit TarReader(ChunkSource& source, ChunkSink* structure = nullptr)
      : source_(source), structure_(structure) {}

  // The next entry, after what is left of the content of the one before; nullopt at the end, when
  // `source` was read to its end. INVALID_ARGUMENT for damage.
  absl::StatusOr<std::optional<TarEntry>> Next();
  // More of the present entry's content; empty at its end.
  absl::StatusOr<absl::string_view> ReadContent();

 private:
  using Records = std::map<std::string, std::string>;

  // At most `size` bytes, at least one unless the source is at its end.
  absl::StatusOr<absl::string_view> Take(size_t size);
  // Exactly `size` bytes of structure; INVALID_ARGUMENT if the source ends before.
  absl::StatusOr<std::string> TakeStructure(size_t size);
  // The body of an extension and its padding.
  absl::StatusOr<std::string> TakeExtension(int64_t size, absl::string_view what);
  absl::Status SkipContent();
  absl::Status FinishArchive();
  absl::Status ReadPax(absl::string_view body, Records* records);

  ChunkSource& source_;
  ChunkSink* structure_;
  absl::string_view chunk_;
  Records global_;
  int64_t content_left_ = 0;
  size_t padding_ = 0;
  bool done_ = false;
};

// The content of the entry that `reader` stands at, as a source of its own.
class ContentSource final : public ChunkSource {
 public:
  explicit ContentSource(TarReader& reader) : reader_(reader) {}
  absl::StatusOr<absl::string_view> Next() override { return reader_.ReadContent(); }

 private:
  TarReader& reader_;
};

// Whether these first 512 bytes could begin a tar: a header with a true checksum, or nothing but
// zeros.
bool LooksLikeTar(absl::string_view block);

}  // namespace darse::archive
