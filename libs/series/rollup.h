// What is kept of a stretch of samples: mean, extremes and how many there were.
#pragma once

#include <cstdint>

namespace darse::series {

struct Summary {
  double sum = 0;
  double minimum = 0;
  double maximum = 0;
  int64_t count = 0;

  static Summary Of(double value) { return {value, value, value, 1}; }
  double average() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
  // A stretch without samples changes nothing.
  void Merge(const Summary& other);

  bool operator==(const Summary&) const = default;
};

// The resolutions that are kept, finest first, and how much of it one chunk holds.
struct Resolution {
  int seconds;
  int slots;

  int64_t window_seconds() const { return int64_t{seconds} * slots; }
  int64_t WindowStart(int64_t unix_seconds) const {
    return unix_seconds - unix_seconds % window_seconds();
  }
  int Slot(int64_t unix_seconds) const {
    return static_cast<int>(unix_seconds % window_seconds() / seconds);
  }
};
// 2 minutes, half an hour, 3 hours and 2 days a chunk.
inline constexpr Resolution kResolutions[] = {{1, 120}, {10, 180}, {60, 180}, {900, 192}};
inline constexpr int kResolutionCount = 4;

}  // namespace darse::series
