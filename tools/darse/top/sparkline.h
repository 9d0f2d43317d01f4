// A curve in one line of text. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "darse/metrics/v1/metrics_service.pb.h"

namespace darse::client {

// `width` characters from `start` to `end`, each the highest average in its share of time; a blank
// where there is none.
std::string Sparkline(const std::vector<darse::metrics::v1::Point>& points, absl::Time start,
                      absl::Time end, int width);

}  // namespace darse::client
