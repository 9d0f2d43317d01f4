// Finds out how a stream is compressed by its first bytes and undoes it: gzip (ISA-L), zstd, xz,
// bzip2, or not at all.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/archive/chunk_source.h"

namespace darse::archive {

enum class Compression { kNone, kGzip, kZstd, kXz, kBzip2 };

// By magic number; needs the first six bytes.
Compression DetectCompression(absl::string_view start);

// Reads `source` inflated. Several members or frames one after another are one stream, as with
// gzip(1). Damaged or truncated input is INVALID_ARGUMENT. `source` must outlive the answer.
std::unique_ptr<ChunkSource> MakeDecompressor(Compression compression, ChunkSource& source);

}  // namespace darse::archive
