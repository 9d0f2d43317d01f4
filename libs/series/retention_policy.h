// Which history goes first when the database is full: the oldest of the finest, but each resolution
// may keep a share, so that a year at 15 minutes and the last hour at a second both survive.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "libs/series/rollup.h"

namespace darse::series {

// Bytes of chunks a resolution, in the order of kResolutions.
using Usage = std::array<int64_t, kResolutionCount>;

// The index of the resolution whose oldest chunks are to be deleted until its bytes are down to
// `down_to`; nothing while all fits into `limit`.
struct Trim {
  int resolution = 0;
  int64_t down_to = 0;

  bool operator==(const Trim&) const = default;
};
std::optional<Trim> PlanTrim(const Usage& usage, int64_t limit);

}  // namespace darse::series
