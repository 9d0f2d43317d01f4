#include "libs/series/rollup.h"

#include <algorithm>

namespace darse::series {

void Summary::Merge(const Summary& other) {
  if (other.count == 0) return;
  if (count == 0) {
    *this = other;
    return;
  }
  sum += other.sum;
  minimum = std::min(minimum, other.minimum);
  maximum = std::max(maximum, other.maximum);
  count += other.count;
}

}  // namespace darse::series
