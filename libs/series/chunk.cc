#include "libs/series/chunk.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "libs/base/status_macros.h"

namespace darse::series {
namespace {

// Far beyond any quantity on a machine, and exact in a double.
constexpr double kLargest = 9e15;

int64_t Quantize(double value, double unit) {
  double units = std::round(value / unit);
  if (std::isnan(units)) return 0;
  return static_cast<int64_t>(std::clamp(units, -kLargest, kLargest));
}

void PutStream(std::string& bytes, const std::string& stream) {
  PutVarint(bytes, stream.size());
  bytes += stream;
}

absl::StatusOr<absl::string_view> TakeBytes(absl::string_view& bytes) {
  std::optional<uint64_t> size = TakeVarint(bytes);
  if (!size || *size > bytes.size()) return absl::DataLossError("series: the chunk is cut off");
  absl::string_view taken = bytes.substr(0, *size);
  bytes.remove_prefix(*size);
  return taken;
}

}  // namespace

void MetricEncoder::Append(int slot, const Summary& summary) {
  average_.Append(slot, Quantize(summary.average(), unit_));
  if (!rolled_up_) return;
  minimum_.Append(slot, Quantize(summary.minimum, unit_));
  maximum_.Append(slot, Quantize(summary.maximum, unit_));
  count_.Append(slot, summary.count);
}

std::string MetricEncoder::Finish(const SlotSummary* last) const {
  if (last != nullptr) {
    MetricEncoder with_last = *this;
    with_last.Append(last->slot, last->summary);
    return with_last.Finish(nullptr);
  }
  std::string bytes;
  PutStream(bytes, average_.Finish());
  if (!rolled_up_) return bytes;
  for (const StreamEncoder* stream : {&minimum_, &maximum_, &count_}) {
    PutStream(bytes, stream->Finish());
  }
  return bytes;
}

void PutMetric(std::string& blob, int metric, absl::string_view streams) {
  PutVarint(blob, metric);
  PutVarint(blob, streams.size());
  blob.append(streams.data(), streams.size());
}

absl::StatusOr<std::map<int, absl::string_view>> SplitChunk(absl::string_view blob) {
  std::map<int, absl::string_view> metrics;
  while (!blob.empty()) {
    std::optional<uint64_t> metric = TakeVarint(blob);
    if (!metric || *metric > 1'000'000) return absl::DataLossError("series: the chunk is damaged");
    ASSIGN_OR_RETURN(metrics[static_cast<int>(*metric)], TakeBytes(blob));
  }
  return metrics;
}

absl::StatusOr<std::vector<SlotSummary>> DecodeMetric(absl::string_view streams, double unit,
                                                      const Resolution& resolution) {
  bool rolled_up = resolution.seconds > 1;
  std::vector<std::vector<SlotValue>> columns;
  for (int i = 0; i < (rolled_up ? 4 : 1); ++i) {
    ASSIGN_OR_RETURN(absl::string_view bytes, TakeBytes(streams));
    ASSIGN_OR_RETURN(std::vector<SlotValue> column, DecodeStream(bytes, resolution.slots));
    if (!columns.empty() && column.size() != columns[0].size()) {
      return absl::DataLossError("series: streams of one metric differ in length");
    }
    columns.push_back(std::move(column));
  }
  std::vector<SlotSummary> slots;
  for (size_t i = 0; i < columns[0].size(); ++i) {
    double average = static_cast<double>(columns[0][i].value) * unit;
    SlotSummary slot{columns[0][i].slot, Summary::Of(average)};
    if (rolled_up) {
      slot.summary.minimum = static_cast<double>(columns[1][i].value) * unit;
      slot.summary.maximum = static_cast<double>(columns[2][i].value) * unit;
      slot.summary.count = columns[3][i].value;
      slot.summary.sum = average * static_cast<double>(slot.summary.count);
    }
    slots.push_back(slot);
  }
  return slots;
}

}  // namespace darse::series
