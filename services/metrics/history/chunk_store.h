// Chunks, subjects and series in the database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/series/retention_policy.h"
#include "libs/sqlite/database.h"

namespace darse::metrics {

struct StoredChunk {
  int64_t start = 0;
  std::string blob;
};

struct SeriesName {
  std::string subject;
  int metric = 0;
};

// Thread-safe: has no state of its own.
class ChunkStore {
 public:
  // Made if it is new.
  absl::StatusOr<int64_t> SubjectId(sqlite::Transaction& tx, const std::string& subject) const;
  absl::StatusOr<std::optional<int64_t>> FindSubject(sqlite::Transaction& tx,
                                                     const std::string& subject) const;
  absl::Status AddSeries(sqlite::Transaction& tx, int64_t subject_id, int metric) const;
  // By subject and metric number, after `after`; at most `max`; of all subjects if `subject` is
  // empty.
  absl::StatusOr<std::vector<SeriesName>> ListSeries(sqlite::Transaction& tx,
                                                     const std::string& subject,
                                                     const SeriesName& after, int max) const;

  // Over the chunk of that start, if there is one.
  absl::Status Put(sqlite::Transaction& tx, int64_t subject_id, int resolution, int64_t start,
                   int samples, const std::string& blob) const;
  absl::StatusOr<std::optional<StoredChunk>> Get(sqlite::Transaction& tx, int64_t subject_id,
                                                 int resolution, int64_t start) const;
  // With first_start <= start < end, oldest first.
  absl::StatusOr<std::vector<StoredChunk>> List(sqlite::Transaction& tx, int64_t subject_id,
                                                int resolution, int64_t first_start,
                                                int64_t end) const;
  absl::StatusOr<std::optional<int64_t>> OldestStart(sqlite::Transaction& tx, int64_t subject_id,
                                                     int resolution) const;

  // Bytes of chunks by resolution.
  absl::StatusOr<series::Usage> GetUsage(sqlite::Transaction& tx) const;
  // Deletes the oldest chunks of a resolution until at least `bytes` are gone.
  absl::Status DeleteOldest(sqlite::Transaction& tx, int resolution, int64_t bytes) const;
  // Subjects of which nothing is left.
  absl::Status ForgetEmptySubjects(sqlite::Transaction& tx) const;
  // Pages in use, as bytes.
  absl::StatusOr<int64_t> BytesInUse(sqlite::Transaction& tx) const;
  absl::StatusOr<int64_t> CountSamples(sqlite::Transaction& tx) const;
};

}  // namespace darse::metrics
