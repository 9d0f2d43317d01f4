// The history of all subjects: takes frames, keeps the open windows in memory, writes them every
// now and then, keeps the database within its limit, answers questions about ranges of time.
//
// A crash loses what came after the last Flush; a window that was written before is gone on with.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/sqlite/database.h"
#include "services/metrics/history/chunk_store.h"
#include "services/metrics/history/open_subject.h"
#include "services/metrics/samples/frame.h"

namespace darse::metrics {

struct HistoryPoint {
  absl::Time time;
  series::Summary summary;
};

struct HistoryAnswer {
  std::vector<HistoryPoint> points;
  absl::Duration resolution;
};

struct HistoryQuery {
  std::string subject, metric;
  absl::Time start, end;
  // Zero: the finest that is kept for that time.
  absl::Duration step;
};

// Thread-safe.
class HistoryEngine {
 public:
  // `limit_bytes` bounds the database's pages in use.
  HistoryEngine(sqlite::Database& db, int64_t limit_bytes) : db_(db), limit_bytes_(limit_bytes) {}

  void Add(const SampledFrame& frame);
  // Writes the closed windows and the open ones of a second and ten; all of them if `all`. After a
  // failure the next call tries again. One caller at a time.
  absl::Status Flush(bool all);
  // Deletes what the limit does not leave room for.
  absl::Status Trim();

  // INVALID_ARGUMENT for an empty range or a step below a second, NOT_FOUND for an unknown series.
  absl::StatusOr<HistoryAnswer> Query(const HistoryQuery& query);
  absl::StatusOr<std::vector<SeriesName>> ListSeries(const std::string& subject,
                                                     const SeriesName& after, int max);
  struct Totals {
    int64_t samples = 0, bytes = 0, limit_bytes = 0;
  };
  absl::StatusOr<Totals> GetTotals();

 private:
  void AddOne(const std::string& subject, int64_t second, const MetricValues& values)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Resume(const std::string& subject, int64_t second);
  // What is in memory of one subject, a resolution each, by start.
  using Memory = std::array<std::map<int64_t, std::string>, series::kResolutionCount>;
  std::map<int64_t, std::string> InMemory(const std::string& subject, int resolution);
  // From memory and the database together.
  absl::StatusOr<std::vector<StoredChunk>> Chunks(sqlite::Transaction& tx,
                                                  const std::string& subject, const Memory& memory,
                                                  int resolution, int64_t start, int64_t end);
  // Where the oldest that is kept of a series begins.
  absl::StatusOr<std::optional<int64_t>> FirstSecond(sqlite::Transaction& tx,
                                                     const std::string& subject,
                                                     const Memory& memory, const Metric& metric,
                                                     int resolution);
  absl::StatusOr<int> ChooseResolution(sqlite::Transaction& tx, const Memory& memory,
                                       const Metric& metric, const HistoryQuery& query);

  sqlite::Database& db_;
  const int64_t limit_bytes_;
  ChunkStore store_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, OpenSubject> open_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<std::string, ChunkImage>> closed_ ABSL_GUARDED_BY(mu_);
  // Series that are in the database already.
  absl::flat_hash_set<std::pair<std::string, int>> known_series_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<std::string, int>> new_series_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::metrics
