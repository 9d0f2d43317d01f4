// The work of darse-unpack, below an open directory; see unpack_report.h for what ends up where.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/archive/chunk_source.h"

namespace darse::runtime {

// One layer becomes <root>/0.
absl::Status UnpackLayer(archive::ChunkSource& input, int root, archive::ChunkSink& report);
// Each member becomes <root>/<n>.
absl::Status UnpackArchive(archive::ChunkSource& input, int root, archive::ChunkSink& report);

}  // namespace darse::runtime
