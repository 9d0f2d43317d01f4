#include "services/metrics/history/chunk_store.h"

#include "libs/base/status_macros.h"
#include "libs/series/rollup.h"

namespace darse::metrics {
namespace {

constexpr char kFindSubject[] = "SELECT id FROM subjects WHERE name = ?";
constexpr char kInsertSubject[] = "INSERT INTO subjects (name) VALUES (?)";
constexpr char kAddSeries[] =
    "INSERT INTO series (subject_id, metric) VALUES (?, ?) ON CONFLICT DO NOTHING";
constexpr char kListSeries[] =
    "SELECT subjects.name, series.metric FROM series "
    "JOIN subjects ON subjects.id = series.subject_id "
    "WHERE (?1 = '' OR subjects.name = ?1) AND (subjects.name, series.metric) > (?2, ?3) "
    "ORDER BY subjects.name, series.metric LIMIT ?4";
constexpr char kPut[] =
    "INSERT INTO chunks (subject_id, resolution, start, samples, blob) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (subject_id, resolution, start) "
    "DO UPDATE SET samples = excluded.samples, blob = excluded.blob";
constexpr char kGet[] =
    "SELECT start, blob FROM chunks WHERE subject_id = ? AND resolution = ? AND start = ?";
constexpr char kList[] =
    "SELECT start, blob FROM chunks WHERE subject_id = ? AND resolution = ? AND start >= ? "
    "AND start < ? ORDER BY start";
constexpr char kOldestStart[] =
    "SELECT min(start) FROM chunks WHERE subject_id = ? AND resolution = ?";
constexpr char kUsage[] =
    "SELECT resolution, sum(length(blob)) FROM chunks GROUP BY resolution ORDER BY resolution";
constexpr char kListOldest[] =
    "SELECT rowid, length(blob) FROM chunks WHERE resolution = ? ORDER BY start, rowid";
constexpr char kDelete[] = "DELETE FROM chunks WHERE rowid = ?";
constexpr char kForgetSeries[] =
    "DELETE FROM series WHERE subject_id NOT IN (SELECT subject_id FROM chunks)";
constexpr char kForgetSubjects[] =
    "DELETE FROM subjects WHERE id NOT IN (SELECT subject_id FROM chunks)";
constexpr char kPageSize[] = "PRAGMA page_size";
constexpr char kPageCount[] = "PRAGMA page_count";
constexpr char kFreePages[] = "PRAGMA freelist_count";
constexpr char kCountSamples[] = "SELECT coalesce(sum(samples), 0) FROM chunks";

absl::StatusOr<int64_t> OneNumber(sqlite::Transaction& tx, const char* sql) {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(sql));
  RETURN_IF_ERROR(row.Step().status());
  return row.Int(0);
}

}  // namespace

absl::StatusOr<std::optional<int64_t>> ChunkStore::FindSubject(sqlite::Transaction& tx,
                                                               const std::string& subject) const {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kFindSubject));
  row.Bind(subject);
  ASSIGN_OR_RETURN(bool found, row.Step());
  return found ? std::optional<int64_t>(row.Int(0)) : std::nullopt;
}

absl::StatusOr<int64_t> ChunkStore::SubjectId(sqlite::Transaction& tx,
                                              const std::string& subject) const {
  ASSIGN_OR_RETURN(std::optional<int64_t> found, FindSubject(tx, subject));
  if (found) return *found;
  ASSIGN_OR_RETURN(sqlite::Statement insert, tx.Prepare(kInsertSubject));
  insert.Bind(subject);
  RETURN_IF_ERROR(insert.Run());
  return tx.LastInsertId();
}

absl::Status ChunkStore::AddSeries(sqlite::Transaction& tx, int64_t subject_id, int metric) const {
  ASSIGN_OR_RETURN(sqlite::Statement insert, tx.Prepare(kAddSeries));
  insert.Bind(subject_id, metric);
  return insert.Run();
}

absl::StatusOr<std::vector<SeriesName>> ChunkStore::ListSeries(sqlite::Transaction& tx,
                                                               const std::string& subject,
                                                               const SeriesName& after,
                                                               int max) const {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kListSeries));
  row.Bind(subject, after.subject, after.metric, max);
  std::vector<SeriesName> series;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, row.Step());
    if (!more) return series;
    series.push_back({row.Text(0), static_cast<int>(row.Int(1))});
  }
}

absl::Status ChunkStore::Put(sqlite::Transaction& tx, int64_t subject_id, int resolution,
                             int64_t start, int samples, const std::string& blob) const {
  ASSIGN_OR_RETURN(sqlite::Statement put, tx.Prepare(kPut));
  put.Bind(subject_id, resolution, start, samples, sqlite::Statement::Blob{blob});
  return put.Run();
}

absl::StatusOr<std::optional<StoredChunk>> ChunkStore::Get(sqlite::Transaction& tx,
                                                           int64_t subject_id, int resolution,
                                                           int64_t start) const {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kGet));
  row.Bind(subject_id, resolution, start);
  ASSIGN_OR_RETURN(bool found, row.Step());
  if (!found) return std::nullopt;
  return StoredChunk{row.Int(0), row.Bytes(1)};
}

absl::StatusOr<std::vector<StoredChunk>> ChunkStore::List(sqlite::Transaction& tx,
                                                          int64_t subject_id, int resolution,
                                                          int64_t first_start, int64_t end) const {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kList));
  row.Bind(subject_id, resolution, first_start, end);
  std::vector<StoredChunk> chunks;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, row.Step());
    if (!more) return chunks;
    chunks.push_back({row.Int(0), row.Bytes(1)});
  }
}

absl::StatusOr<std::optional<int64_t>> ChunkStore::OldestStart(sqlite::Transaction& tx,
                                                               int64_t subject_id,
                                                               int resolution) const {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kOldestStart));
  row.Bind(subject_id, resolution);
  RETURN_IF_ERROR(row.Step().status());
  return row.IsNull(0) ? std::nullopt : std::optional<int64_t>(row.Int(0));
}

absl::StatusOr<series::Usage> ChunkStore::GetUsage(sqlite::Transaction& tx) const {
  series::Usage usage = {};
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kUsage));
  for (;;) {
    ASSIGN_OR_RETURN(bool more, row.Step());
    if (!more) return usage;
    for (int i = 0; i < series::kResolutionCount; ++i) {
      if (series::kResolutions[i].seconds == row.Int(0)) usage[i] = row.Int(1);
    }
  }
}

absl::Status ChunkStore::DeleteOldest(sqlite::Transaction& tx, int resolution,
                                      int64_t bytes) const {
  std::vector<int64_t> rows;
  {
    ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kListOldest));
    row.Bind(resolution);
    while (bytes > 0) {
      ASSIGN_OR_RETURN(bool more, row.Step());
      if (!more) break;
      rows.push_back(row.Int(0));
      bytes -= row.Int(1);
    }
  }
  ASSIGN_OR_RETURN(sqlite::Statement erase, tx.Prepare(kDelete));
  for (int64_t row : rows) {
    erase.Bind(row);
    RETURN_IF_ERROR(erase.Run());
  }
  return absl::OkStatus();
}

absl::Status ChunkStore::ForgetEmptySubjects(sqlite::Transaction& tx) const {
  for (const char* sql : {kForgetSeries, kForgetSubjects}) {
    ASSIGN_OR_RETURN(sqlite::Statement forget, tx.Prepare(sql));
    RETURN_IF_ERROR(forget.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ChunkStore::BytesInUse(sqlite::Transaction& tx) const {
  ASSIGN_OR_RETURN(int64_t size, OneNumber(tx, kPageSize));
  ASSIGN_OR_RETURN(int64_t count, OneNumber(tx, kPageCount));
  ASSIGN_OR_RETURN(int64_t free, OneNumber(tx, kFreePages));
  return size * (count - free);
}

absl::StatusOr<int64_t> ChunkStore::CountSamples(sqlite::Transaction& tx) const {
  return OneNumber(tx, kCountSamples);
}

}  // namespace darse::metrics
