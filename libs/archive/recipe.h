// What it takes to write a layer's tar again, bit for bit, from the directory it was unpacked to:
// all bytes that are no file's content, and which file's content goes where. So a layer is on disk
// once.
//
// A recipe is a zstd stream of records, each a tag and little-endian base-128 numbers:
//   'L' length bytes            these bytes
//   'F' size length path        the content of fs/<path>, which has `size` bytes
//   'M' length path             what was at <path> until here lies in orphans/<n>, n counted from 0
// 'M' comes when a later member of the same tar replaced an earlier one; it concerns the 'F's
// before it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/archive/chunk_source.h"

namespace darse::archive {

// One thread only.
class RecipeWriter final : public ChunkSink {
 public:
  // Writes to `fd`, which must outlive this.
  explicit RecipeWriter(int fd);
  ~RecipeWriter() override;
  RecipeWriter(const RecipeWriter&) = delete;
  RecipeWriter& operator=(const RecipeWriter&) = delete;

  absl::Status Write(absl::string_view structure) override;
  absl::Status File(absl::string_view path, int64_t size);
  // Answers the name that what is at `path` must now get in orphans/.
  absl::StatusOr<std::string> Moved(absl::string_view path);
  // Must be the last call.
  absl::Status Finish();

 private:
  absl::Status Put(absl::string_view bytes, bool end);
  absl::Status FlushLiteral();

  struct Stream;
  std::unique_ptr<Stream> stream_;
  FdSink out_;
  std::string literal_;
  uint64_t orphans_ = 0;
};

// Size of the tar that the recipe makes.
absl::StatusOr<int64_t> RecipeSize(int recipe_fd);

// Writes the tar. `layer` is the directory that holds fs/ and orphans/. DATA_LOSS if a file is
// missing or has another size; whoever asks must check the digest.
absl::Status ReplayRecipe(int recipe_fd, int layer, ChunkSink& out);

}  // namespace darse::archive
