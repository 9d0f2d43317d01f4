#include "services/runtime/networks/id_ranges.h"

#include <random>

#include "absl/strings/str_cat.h"

namespace darse::runtime {

ns::IdMaps MapsFrom(uint32_t first) {
  return {.uids = {{0, first, kIdsOfOne}}, .gids = {{0, first, kIdsOfOne}}};
}

// Anywhere: after a damaged database nobody knows what the containers have that still run.
IdRanges::IdRanges() : next_(std::random_device()() % kIdRanges) {}

absl::StatusOr<uint32_t> IdRanges::Take() {
  absl::MutexLock lock(&mu_);
  for (uint32_t tried = 0; tried < kIdRanges; ++tried) {
    uint32_t first = kFirstId + kIdsOfOne * next_;
    next_ = (next_ + 1) % kIdRanges;
    if (users_.try_emplace(first, 1).second) return first;
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("all ", kIdRanges,
                   " ranges of user ids are in use; a container with "
                   "--userns=host needs none"));
}

void IdRanges::Share(uint32_t first) {
  absl::MutexLock lock(&mu_);
  ++users_[first];
}

void IdRanges::Return(uint32_t first) {
  absl::MutexLock lock(&mu_);
  auto found = users_.find(first);
  if (found != users_.end() && --found->second == 0) users_.erase(found);
}

}  // namespace darse::runtime
