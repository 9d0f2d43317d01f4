#include "services/metrics/history/open_subject.h"

#include <algorithm>
#include <utility>

#include "libs/base/status_macros.h"

namespace darse::metrics {

using series::kResolutions;
using series::Resolution;
using series::SlotSummary;
using series::Summary;

void OpenSubject::Add(int64_t unix_seconds, const MetricValues& values,
                      std::vector<ChunkImage>& closed) {
  if (unix_seconds <= last_second_) return;
  last_second_ = unix_seconds;
  for (int i = 0; i < series::kResolutionCount; ++i) {
    int64_t start = kResolutions[i].WindowStart(unix_seconds);
    if (windows_[i].start != start) {
      if (std::optional<ChunkImage> image = Image(i)) closed.push_back(*std::move(image));
      windows_[i] = Window{.start = start, .metrics = {}};
    }
    AddTo(i, unix_seconds, values);
  }
}

void OpenSubject::AddTo(int resolution, int64_t unix_seconds, const MetricValues& values) {
  int slot = kResolutions[resolution].Slot(unix_seconds);
  for (const auto& [metric, value] : values) {
    OpenMetric& open = windows_[resolution]
                           .metrics.try_emplace(metric->number, *metric, resolution > 0)
                           .first->second;
    if (open.bucket.summary.count > 0 && open.bucket.slot != slot) {
      open.encoder.Append(open.bucket.slot, open.bucket.summary);
      ++open.slots;
      open.bucket.summary = {};
    }
    open.bucket.slot = slot;
    open.bucket.summary.Merge(Summary::Of(value));
  }
}

absl::Status OpenSubject::Resume(int resolution, int64_t start, absl::string_view blob) {
  const Resolution& shape = kResolutions[resolution];
  Window window{.start = start, .metrics = {}};
  int64_t last = last_second_;
  ASSIGN_OR_RETURN(auto metrics, series::SplitChunk(blob));
  for (const auto& [number, streams] : metrics) {
    const Metric* metric = FindMetric(number);
    // Written by a newer version: lost when this window is written again.
    if (metric == nullptr) continue;
    ASSIGN_OR_RETURN(std::vector<SlotSummary> slots,
                     series::DecodeMetric(streams, metric->unit, shape));
    if (slots.empty()) continue;
    OpenMetric& open = window.metrics.try_emplace(number, *metric, resolution > 0).first->second;
    open.bucket = slots.back();
    slots.pop_back();
    for (const SlotSummary& slot : slots) open.encoder.Append(slot.slot, slot.summary);
    open.slots = static_cast<int>(slots.size());
    // Above a second the last slot may go on; what is older than its beginning may not.
    last = std::max(
        last, start + int64_t{open.bucket.slot} * shape.seconds - (shape.seconds > 1 ? 1 : 0));
  }
  windows_[resolution] = std::move(window);
  last_second_ = last;
  return absl::OkStatus();
}

std::optional<ChunkImage> OpenSubject::Image(int resolution) const {
  const Window& window = windows_[resolution];
  if (window.metrics.empty()) return std::nullopt;
  ChunkImage image{.resolution = resolution, .start = window.start};
  for (const auto& [number, open] : window.metrics) {
    bool filling = open.bucket.summary.count > 0;
    series::PutMetric(image.blob, number, open.encoder.Finish(filling ? &open.bucket : nullptr));
    image.samples += open.slots + (filling ? 1 : 0);
  }
  return image;
}

}  // namespace darse::metrics
