// The windows of one subject that still grow, at every resolution: 1 s samples come in, chunks go
// out.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/series/chunk.h"
#include "libs/series/rollup.h"
#include "services/metrics/samples/metric.h"

namespace darse::metrics {

// A window as it is written to the database.
struct ChunkImage {
  // Index in series::kResolutions.
  int resolution = 0;
  int64_t start = 0;
  int samples = 0;
  std::string blob;
};

// Thread-compatible.
class OpenSubject {
 public:
  // Takes the values of one second; the windows that end with it are added to `closed`. A time that
  // is not after the last one is ignored.
  void Add(int64_t unix_seconds, const MetricValues& values, std::vector<ChunkImage>& closed);
  // Goes on with a window that was written earlier, before the first Add.
  absl::Status Resume(int resolution, int64_t start, absl::string_view blob);

  // The open window as it is now; nothing if it is empty.
  std::optional<ChunkImage> Image(int resolution) const;
  int64_t last_second() const { return last_second_; }

 private:
  struct OpenMetric {
    explicit OpenMetric(const Metric& metric, bool rolled_up)
        : encoder(metric.unit, rolled_up), bucket{} {}
    series::MetricEncoder encoder;
    // The slot that is still filling; its count is 0 when there is none.
    series::SlotSummary bucket;
    int slots = 0;
  };
  struct Window {
    int64_t start = -1;
    std::map<int, OpenMetric> metrics;
  };

  void AddTo(int resolution, int64_t unix_seconds, const MetricValues& values);

  int64_t last_second_ = -1;
  std::array<Window, series::kResolutionCount> windows_;
};

}  // namespace darse::metrics
