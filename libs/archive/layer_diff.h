// Writes an overlay's upper directory as a layer's tar: whiteouts for 0/0 devices, ".wh..wh..opq"
// for opaque directories, entries sorted by name, hard links to the first name. The same tree gives
// the same bytes.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/recipe.h"

namespace darse::archive {

struct LayerDiffOptions {
  // Times are at most this (seconds since 1970); negative: as they are. The files get the same
  // times, and lose overlay's own attributes, so that the tree is what unpacking the tar would
  // make.
  int64_t clamp_seconds = -1;
  // Where to note how to write the tar again from that tree; may be null.
  RecipeWriter* recipe = nullptr;
};

struct LayerDiffTotals {
  // Of the tar, and of the files' contents in it.
  int64_t tar_bytes = 0;
  int64_t bytes = 0;
};

// Nobody else may change the tree meanwhile. FAILED_PRECONDITION for what a layer cannot say:
// redirected directories, names that begin with ".wh.", paths over 4096 bytes.
absl::StatusOr<LayerDiffTotals> WriteLayerDiff(int upper, const LayerDiffOptions& options,
                                               ChunkSink& tar);

}  // namespace darse::archive
