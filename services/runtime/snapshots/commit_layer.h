// A snapshot's writable directory becomes a layer in staging: hashed, noted, then moved, never
// copied.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "libs/oci/digest.h"

namespace darse::runtime {

struct PackRequest {
  std::string upper;
  // The fs of the layer below: a root directory that looks like its is no change.
  std::string parent_root;
  // Gets fs/, recipe and orphans/.
  std::string staging;
  int64_t clamp_seconds = -1;
};

struct PackedLayer {
  oci::Digest diff_id;
  int64_t tar_bytes = 0;
  int64_t bytes = 0;
};

// nullopt, and all is as before, if nothing was changed. After an error `upper` is where it was.
absl::StatusOr<std::optional<PackedLayer>> PackLayer(const PackRequest& request);

}  // namespace darse::runtime
