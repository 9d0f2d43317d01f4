#include "services/metrics/history/history_engine.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/series/retention_policy.h"

namespace darse::metrics {
namespace {

using series::kResolutionCount;
using series::kResolutions;

constexpr char kHost[] = "host";
// A subject without samples for so long leaves memory once it is written.
constexpr int64_t kForgetSeconds = 300;
// More points than a screen has columns many times over; a longer range is answered more coarsely.
constexpr int64_t kMaxPoints = 20'000;
// Chunks may take this much of the limit; the rest is for marks, indexes and pages half full.
constexpr int64_t kChunkPercent = 90;
// Of the resolutions, those that every flush writes while their window is open.
constexpr int kFlushedOften = 2;
constexpr size_t kClosedKept = 20'000;

int64_t Seconds(absl::Time time) { return absl::ToUnixSeconds(time); }

// Slots of one metric in [start, end) from a chunk, merged into buckets of `step` seconds.
absl::Status Collect(const StoredChunk& chunk, const Metric& metric,
                     const series::Resolution& resolution, int64_t start, int64_t end, int64_t step,
                     std::map<int64_t, series::Summary>& buckets) {
  ASSIGN_OR_RETURN(auto metrics, series::SplitChunk(chunk.blob));
  auto found = metrics.find(metric.number);
  if (found == metrics.end()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<series::SlotSummary> slots,
                   series::DecodeMetric(found->second, metric.unit, resolution));
  for (const series::SlotSummary& slot : slots) {
    int64_t second = chunk.start + int64_t{slot.slot} * resolution.seconds;
    if (second + resolution.seconds <= start || second >= end) continue;
    buckets[second - second % step].Merge(slot.summary);
  }
  return absl::OkStatus();
}

}  // namespace

void HistoryEngine::Add(const SampledFrame& frame) {
  int64_t second = Seconds(frame.reading.time);
  // Subjects that are new to memory may have an open window in the database: read without the lock.
  std::vector<std::string> strangers;
  {
    absl::MutexLock lock(&mu_);
    if (!open_.contains(kHost)) strangers.push_back(kHost);
    for (const ContainerReading& reading : frame.reading.containers) {
      if (!open_.contains(reading.container.subject)) {
        strangers.push_back(reading.container.subject);
      }
    }
  }
  for (const std::string& subject : strangers) Resume(subject, second);

  absl::MutexLock lock(&mu_);
  if (frame.host_has_rates) AddOne(kHost, second, ValuesOf(frame.frame.host()));
  for (int i = 0; i < frame.frame.containers_size(); ++i) {
    if (!frame.has_rates[i]) continue;
    AddOne(frame.reading.containers[i].container.subject, second,
           ValuesOf(frame.frame.containers(i)));
  }
}

void HistoryEngine::AddOne(const std::string& subject, int64_t second, const MetricValues& values) {
  std::vector<ChunkImage> closed;
  open_[subject].Add(second, values, closed);
  for (ChunkImage& image : closed) closed_.emplace_back(subject, std::move(image));
  for (const auto& [metric, value] : values) {
    if (known_series_.insert({subject, metric->number}).second) {
      new_series_.emplace_back(subject, metric->number);
    }
  }
}

void HistoryEngine::Resume(const std::string& subject, int64_t second) {
  OpenSubject open;
  absl::Status status = db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<int64_t> id, store_.FindSubject(tx, subject));
    if (!id) return absl::OkStatus();
    for (int i = 0; i < kResolutionCount; ++i) {
      int64_t start = kResolutions[i].WindowStart(second);
      ASSIGN_OR_RETURN(std::optional<StoredChunk> chunk,
                       store_.Get(tx, *id, kResolutions[i].seconds, start));
      if (chunk) RETURN_IF_ERROR(open.Resume(i, start, chunk->blob));
    }
    return absl::OkStatus();
  });
  if (!status.ok()) {
    Log(LogLevel::kWarning, "open windows not gone on with",
        {{"subject", subject}, {"why", std::string(status.message())}});
    open = OpenSubject();
  }
  absl::MutexLock lock(&mu_);
  open_.try_emplace(subject, std::move(open));
}

absl::Status HistoryEngine::Flush(bool all) {
  std::vector<std::pair<std::string, ChunkImage>> images;
  std::vector<std::pair<std::string, int>> series;
  std::vector<std::pair<std::string, int64_t>> silent;
  size_t closed = 0;
  {
    absl::MutexLock lock(&mu_);
    images = closed_;
    closed = images.size();
    series = new_series_;
    int64_t newest = 0;
    for (const auto& [subject, open] : open_) newest = std::max(newest, open.last_second());
    for (const auto& [subject, open] : open_) {
      bool forget = newest - open.last_second() > kForgetSeconds;
      if (forget) silent.emplace_back(subject, open.last_second());
      for (int i = 0; i < (all || forget ? kResolutionCount : kFlushedOften); ++i) {
        std::optional<ChunkImage> image = open.Image(i);
        if (image) images.emplace_back(subject, *std::move(image));
      }
    }
  }
  absl::Status written = db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    for (const auto& [subject, image] : images) {
      ASSIGN_OR_RETURN(int64_t id, store_.SubjectId(tx, subject));
      RETURN_IF_ERROR(store_.Put(tx, id, kResolutions[image.resolution].seconds, image.start,
                                 image.samples, image.blob));
    }
    for (const auto& [subject, metric] : series) {
      ASSIGN_OR_RETURN(int64_t id, store_.SubjectId(tx, subject));
      RETURN_IF_ERROR(store_.AddSeries(tx, id, metric));
    }
    return absl::OkStatus();
  });
  absl::MutexLock lock(&mu_);
  if (!written.ok()) {
    // A disk that stays full must not fill the memory too.
    if (closed_.size() > kClosedKept) {
      closed_.erase(closed_.begin(), closed_.end() - kClosedKept);
    }
    return Annotate(written, "write history");
  }
  // What was added meanwhile is at the ends.
  closed_.erase(closed_.begin(), closed_.begin() + closed);
  new_series_.erase(new_series_.begin(), new_series_.begin() + series.size());
  for (const auto& [subject, last_second] : silent) {
    auto found = open_.find(subject);
    if (found->second.last_second() == last_second) open_.erase(found);
  }
  return absl::OkStatus();
}

absl::Status HistoryEngine::Trim() {
  bool trimmed = false;
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(int64_t in_use, store_.BytesInUse(tx));
    if (in_use <= limit_bytes_ * kChunkPercent / 100) return absl::OkStatus();
    ASSIGN_OR_RETURN(series::Usage usage, store_.GetUsage(tx));
    int64_t chunk_bytes = 0;
    for (int64_t bytes : usage) chunk_bytes += bytes;
    // What a byte of chunks costs with keys, indexes and unused ends of pages.
    double cost =
        static_cast<double>(in_use) / static_cast<double>(std::max<int64_t>(chunk_bytes, 1));
    int64_t room = static_cast<int64_t>(static_cast<double>(limit_bytes_ * kChunkPercent / 100) /
                                        std::max(cost, 1.0));
    while (std::optional<series::Trim> trim = series::PlanTrim(usage, room)) {
      int64_t bytes = usage[trim->resolution] - trim->down_to;
      RETURN_IF_ERROR(store_.DeleteOldest(tx, kResolutions[trim->resolution].seconds, bytes));
      usage[trim->resolution] = trim->down_to;
      trimmed = true;
    }
    return trimmed ? store_.ForgetEmptySubjects(tx) : absl::OkStatus();
  }));
  absl::MutexLock lock(&mu_);
  // A subject that was forgotten may come back: its series are then added anew.
  if (trimmed) known_series_.clear();
  return absl::OkStatus();
}

std::map<int64_t, std::string> HistoryEngine::InMemory(const std::string& subject, int resolution) {
  std::map<int64_t, std::string> chunks;
  absl::MutexLock lock(&mu_);
  for (const auto& [name, image] : closed_) {
    if (name == subject && image.resolution == resolution) chunks[image.start] = image.blob;
  }
  auto found = open_.find(subject);
  if (found == open_.end()) return chunks;
  std::optional<ChunkImage> image = found->second.Image(resolution);
  if (image) chunks[image->start] = std::move(image->blob);
  return chunks;
}

absl::StatusOr<std::vector<StoredChunk>> HistoryEngine::Chunks(sqlite::Transaction& tx,
                                                               const std::string& subject,
                                                               const Memory& memory, int resolution,
                                                               int64_t start, int64_t end) {
  std::map<int64_t, std::string> merged = memory[resolution];
  ASSIGN_OR_RETURN(std::optional<int64_t> id, store_.FindSubject(tx, subject));
  if (id) {
    ASSIGN_OR_RETURN(std::vector<StoredChunk> stored,
                     store_.List(tx, *id, kResolutions[resolution].seconds, start, end));
    for (StoredChunk& chunk : stored) merged.try_emplace(chunk.start, std::move(chunk.blob));
  }
  std::vector<StoredChunk> chunks;
  for (auto& [at, blob] : merged) {
    if (at >= start && at < end) chunks.push_back({at, std::move(blob)});
  }
  return chunks;
}

absl::StatusOr<std::optional<int64_t>> HistoryEngine::FirstSecond(sqlite::Transaction& tx,
                                                                  const std::string& subject,
                                                                  const Memory& memory,
                                                                  const Metric& metric,
                                                                  int resolution) {
  std::optional<StoredChunk> oldest;
  if (!memory[resolution].empty()) {
    oldest = StoredChunk{memory[resolution].begin()->first, memory[resolution].begin()->second};
  }
  ASSIGN_OR_RETURN(std::optional<int64_t> id, store_.FindSubject(tx, subject));
  if (id) {
    int seconds = kResolutions[resolution].seconds;
    ASSIGN_OR_RETURN(std::optional<int64_t> start, store_.OldestStart(tx, *id, seconds));
    if (start && (!oldest || *start < oldest->start)) {
      ASSIGN_OR_RETURN(oldest, store_.Get(tx, *id, seconds, *start));
    }
  }
  if (!oldest) return std::nullopt;
  std::map<int64_t, series::Summary> buckets;
  RETURN_IF_ERROR(Collect(*oldest, metric, kResolutions[resolution], oldest->start,
                          oldest->start + kResolutions[resolution].window_seconds(), 1, buckets));
  return buckets.empty() ? oldest->start : buckets.begin()->first;
}

absl::StatusOr<int> HistoryEngine::ChooseResolution(sqlite::Transaction& tx, const Memory& memory,
                                                    const Metric& metric,
                                                    const HistoryQuery& query) {
  std::optional<int64_t> first[kResolutionCount];
  for (int i = 0; i < kResolutionCount; ++i) {
    ASSIGN_OR_RETURN(first[i], FirstSecond(tx, query.subject, memory, metric, i));
  }
  int64_t start = Seconds(query.start), length = Seconds(query.end) - start;
  int64_t step = absl::ToInt64Seconds(query.step);
  // All that there ever was is still kept at resolution i, or at least all since `start`.
  auto complete = [&](int i) {
    if (!first[i]) return false;
    if (*first[i] <= start) return true;
    for (int coarser = i + 1; coarser < kResolutionCount; ++coarser) {
      if (first[coarser] && *first[i] >= *first[coarser] + kResolutions[coarser].seconds) {
        return false;
      }
    }
    return true;
  };
  // As coarse as the step allows: less to read, and the same answer.
  for (int i = kResolutionCount - 1; i >= 0 && step > 0; --i) {
    if (kResolutions[i].seconds <= step && step % kResolutions[i].seconds == 0 && complete(i)) {
      return i;
    }
  }
  for (int i = 0; i < kResolutionCount; ++i) {
    if (complete(i) && length / kResolutions[i].seconds <= kMaxPoints) return i;
  }
  return kResolutionCount - 1;
}

absl::StatusOr<HistoryAnswer> HistoryEngine::Query(const HistoryQuery& query) {
  int64_t start = Seconds(query.start), end = Seconds(query.end);
  if (end <= start) return absl::InvalidArgumentError("query: the range ends before it begins");
  if (query.step != absl::ZeroDuration() && query.step < absl::Seconds(1)) {
    return absl::InvalidArgumentError("query: the step is below a second");
  }
  const Metric* metric = FindMetric(absl::string_view(query.metric));
  if (metric == nullptr) {
    return absl::NotFoundError(absl::StrCat("metric \"", query.metric, "\": there is none"));
  }
  // Memory first: a window that is written in between is then seen twice and not lost.
  Memory memory;
  for (int i = 0; i < kResolutionCount; ++i) memory[i] = InMemory(query.subject, i);
  HistoryAnswer answer;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(int chosen, ChooseResolution(tx, memory, *metric, query));
    const series::Resolution& resolution = kResolutions[chosen];
    int64_t step = std::max<int64_t>(absl::ToInt64Seconds(query.step), resolution.seconds);
    ASSIGN_OR_RETURN(std::vector<StoredChunk> chunks,
                     Chunks(tx, query.subject, memory, chosen,
                            resolution.WindowStart(std::max<int64_t>(start, 0)), end));
    if (chunks.empty()) {
      ASSIGN_OR_RETURN(std::optional<int64_t> first,
                       FirstSecond(tx, query.subject, memory, *metric, kResolutionCount - 1));
      if (!first) {
        return absl::NotFoundError(
            absl::StrCat("series of \"", query.subject, "\": there are none"));
      }
    }
    std::map<int64_t, series::Summary> buckets;
    for (const StoredChunk& chunk : chunks) {
      RETURN_IF_ERROR(Collect(chunk, *metric, resolution, start, end, step, buckets));
    }
    for (const auto& [second, summary] : buckets) {
      answer.points.push_back({absl::FromUnixSeconds(second), summary});
    }
    answer.resolution = absl::Seconds(step);
    return absl::OkStatus();
  }));
  return answer;
}

absl::StatusOr<std::vector<SeriesName>> HistoryEngine::ListSeries(const std::string& subject,
                                                                  const SeriesName& after,
                                                                  int max) {
  std::vector<SeriesName> series;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(series, store_.ListSeries(tx, subject, after, max));
    return absl::OkStatus();
  }));
  return series;
}

absl::StatusOr<HistoryEngine::Totals> HistoryEngine::GetTotals() {
  Totals totals{.limit_bytes = limit_bytes_};
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(totals.samples, store_.CountSamples(tx));
    ASSIGN_OR_RETURN(totals.bytes, store_.BytesInUse(tx));
    return absl::OkStatus();
  }));
  return totals;
}

}  // namespace darse::metrics
