#include "libs/series/retention_policy.h"

#include <algorithm>

namespace darse::series {
namespace {

// Percent of the limit that a resolution keeps while a coarser one may still be trimmed.
constexpr std::array<int64_t, kResolutionCount> kShare = {25, 25, 25, 25};

}  // namespace

std::optional<Trim> PlanTrim(const Usage& usage, int64_t limit) {
  int64_t total = 0;
  for (int64_t bytes : usage) total += bytes;
  if (total <= limit) return std::nullopt;
  // A little more than needed, so that it is not done for each new chunk.
  int64_t excess = total - limit + limit / 50;
  for (int i = 0; i < kResolutionCount; ++i) {
    int64_t share = limit * kShare[i] / 100;
    if (usage[i] > share) return Trim{i, std::max(share, usage[i] - excess)};
  }
  return std::nullopt;
}

}  // namespace darse::series
