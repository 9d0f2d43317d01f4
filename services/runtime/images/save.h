// Images as one tar that is both a `docker save` archive and an OCI image layout.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "libs/archive/chunk_source.h"
#include "services/runtime/images/image_engine.h"

namespace darse::runtime {

// Writes to `out` as it goes; each image by name, id or prefix. DATA_LOSS if a layer is no longer
// what its digest says: the archive is then incomplete.
absl::Status SaveImages(ImageEngine& images, const std::vector<std::string>& references,
                        archive::ChunkSink& out);

}  // namespace darse::runtime
