// Milliseconds of a clock that nobody sets: for deadlines in code without threads, where a Clock
// would be one dependency too many.
#pragma once

#include <time.h>

#include <cstdint>

namespace darse {

inline int64_t MonotonicMs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace darse
