// One window of one subject at one resolution: all its metrics side by side in one blob.
//
//   blob    = metric*
//   metric  = varint metric number, varint length, stream*
//   stream  = varint length, bytes (stream.h)
// At one second a metric has one stream, the values. Above, it has four: averages, minima, maxima
// and counts. Values are whole multiples of the metric's unit.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/series/rollup.h"
#include "libs/series/stream.h"

namespace darse::series {

struct SlotSummary {
  int slot = 0;
  Summary summary;
};

// The streams of one metric while its window is open. Thread-compatible.
class MetricEncoder {
 public:
  MetricEncoder(double unit, bool rolled_up) : unit_(unit), rolled_up_(rolled_up) {}
  // Slots grow.
  void Append(int slot, const Summary& summary);
  // With `last` as one more slot that may still change; nothing is appended by it.
  std::string Finish(const SlotSummary* last) const;

 private:
  double unit_;
  bool rolled_up_;
  StreamEncoder average_;
  // Not used at one second.
  StreamEncoder minimum_, maximum_, count_;
};

void PutMetric(std::string& blob, int metric, absl::string_view streams);

// DATA_LOSS if the blob is damaged. All metrics of a blob, by number, as streams still encoded;
// views into `blob`.
absl::StatusOr<std::map<int, absl::string_view>> SplitChunk(absl::string_view blob);
// The slots of one metric, in order.
absl::StatusOr<std::vector<SlotSummary>> DecodeMetric(absl::string_view streams, double unit,
                                                      const Resolution& resolution);

}  // namespace darse::series
