#include "services/builder/builds/build_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::builder {
namespace {

#define BUILD_COLUMNS                                                                        \
  "number, id, spec, state, created_at, started_at, finished_at, image_id, error, "          \
  "failed_exit_code, steps_total, steps_cached, steps_done, waiting_for, cancel_requested, " \
  "last_sequence"

constexpr char kInsert[] =
    "INSERT INTO builds (id, request_id, spec, context_digest, state, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?)";
constexpr char kGet[] = "SELECT " BUILD_COLUMNS " FROM builds WHERE id = ?";
constexpr char kFindRequest[] = "SELECT " BUILD_COLUMNS " FROM builds WHERE request_id = ?";
constexpr char kList[] =
    "SELECT " BUILD_COLUMNS " FROM builds WHERE number < ? ORDER BY number DESC LIMIT ?";
constexpr char kListActive[] =
    "SELECT " BUILD_COLUMNS " FROM builds WHERE state IN (1, 2, 3) ORDER BY number";
constexpr char kUpdate[] =
    "UPDATE builds SET state = ?, started_at = ?, finished_at = ?, image_id = ?, error = ?, "
    "failed_exit_code = ?, steps_total = ?, steps_cached = ?, steps_done = ?, waiting_for = ? "
    "WHERE id = ?";
constexpr char kRequestCancel[] = "UPDATE builds SET cancel_requested = 1 WHERE id = ?";
constexpr char kTakeSequences[] =
    "UPDATE builds SET last_sequence = last_sequence + ? WHERE id = ? RETURNING last_sequence";
constexpr char kAppend[] = "INSERT INTO build_events (build_id, sequence, event) VALUES (?, ?, ?)";
constexpr char kEvents[] =
    "SELECT event FROM build_events WHERE build_id = ? AND sequence > ? ORDER BY sequence LIMIT ?";
constexpr char kTrimEvents[] =
    "DELETE FROM build_events WHERE build_id IN (SELECT id FROM builds WHERE state NOT IN "
    "(1, 2, 3) AND number NOT IN (SELECT number FROM builds ORDER BY number DESC LIMIT ?))";
constexpr char kTrim[] =
    "DELETE FROM builds WHERE state NOT IN (1, 2, 3) AND number NOT IN "
    "(SELECT number FROM builds ORDER BY number DESC LIMIT ?)";

constexpr int64_t kMaxEventBytes = 1 << 20;

std::optional<int64_t> Micros(const std::optional<absl::Time>& time) {
  if (!time) return std::nullopt;
  return absl::ToUnixMicros(*time);
}

std::optional<absl::Time> TimeAt(const sqlite::Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return absl::FromUnixMicros(row.Int(column));
}

absl::StatusOr<BuildRecord> RowOf(const sqlite::Statement& row) {
  BuildRecord record{.number = row.Int(0), .id = row.Text(1)};
  if (!record.spec.ParseFromString(row.Bytes(2))) {
    return absl::DataLossError(absl::StrCat("build ", record.id, ": its spec cannot be read"));
  }
  record.state = static_cast<BuildState>(row.Int(3));
  record.created_at = absl::FromUnixMicros(row.Int(4));
  record.started_at = TimeAt(row, 5);
  record.finished_at = TimeAt(row, 6);
  record.image_id = row.Text(7);
  record.error = row.Text(8);
  record.failed_exit_code = static_cast<int>(row.Int(9));
  record.steps_total = static_cast<int>(row.Int(10));
  record.steps_cached = static_cast<int>(row.Int(11));
  record.steps_done = static_cast<int>(row.Int(12));
  record.waiting_for = row.Text(13);
  record.cancel_requested = row.Bool(14);
  record.last_sequence = row.Int(15);
  return record;
}

absl::StatusOr<std::vector<BuildRecord>> Rows(sqlite::Statement& select) {
  std::vector<BuildRecord> records;
  while (true) {
    ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return records;
    ASSIGN_OR_RETURN(BuildRecord record, RowOf(select));
    records.push_back(std::move(record));
  }
}

absl::StatusOr<std::optional<BuildRecord>> FirstRow(sqlite::Statement& select) {
  ASSIGN_OR_RETURN(bool row, select.Step());
  if (!row) return std::nullopt;
  return RowOf(select);
}

}  // namespace

absl::Status BuildStore::Insert(sqlite::Transaction& tx, absl::string_view request_id,
                                BuildRecord& record) {
  ASSIGN_OR_RETURN(sqlite::Statement insert, tx.Prepare(kInsert));
  std::optional<absl::string_view> request;
  if (!request_id.empty()) request = request_id;
  std::string spec = record.spec.SerializeAsString();
  insert.Bind(record.id, request, sqlite::Statement::Blob{spec}, record.spec.context_digest(),
              static_cast<int>(record.state), absl::ToUnixMicros(record.created_at));
  RETURN_IF_ERROR(insert.Run());
  record.number = tx.LastInsertId();
  return absl::OkStatus();
}

absl::StatusOr<BuildRecord> BuildStore::Get(sqlite::Transaction& tx, absl::string_view id) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kGet));
  select.Bind(id);
  ASSIGN_OR_RETURN(std::optional<BuildRecord> record, FirstRow(select));
  if (!record) return absl::NotFoundError(absl::StrCat("no build \"", id, "\""));
  return *std::move(record);
}

absl::StatusOr<std::optional<BuildRecord>> BuildStore::FindRequest(sqlite::Transaction& tx,
                                                                   absl::string_view request_id) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kFindRequest));
  select.Bind(request_id);
  return FirstRow(select);
}

absl::StatusOr<std::vector<BuildRecord>> BuildStore::List(sqlite::Transaction& tx, int64_t before,
                                                          int max) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kList));
  select.Bind(before, max);
  return Rows(select);
}

absl::StatusOr<std::vector<BuildRecord>> BuildStore::ListActive(sqlite::Transaction& tx) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kListActive));
  return Rows(select);
}

absl::Status BuildStore::Update(sqlite::Transaction& tx, const BuildRecord& record) {
  ASSIGN_OR_RETURN(sqlite::Statement update, tx.Prepare(kUpdate));
  update.Bind(static_cast<int>(record.state), Micros(record.started_at), Micros(record.finished_at),
              record.image_id, record.error, record.failed_exit_code, record.steps_total,
              record.steps_cached, record.steps_done, record.waiting_for, record.id);
  return update.Run();
}

absl::Status BuildStore::RequestCancel(sqlite::Transaction& tx, absl::string_view id) {
  ASSIGN_OR_RETURN(sqlite::Statement update, tx.Prepare(kRequestCancel));
  update.Bind(id);
  return update.Run();
}

absl::Status BuildStore::Append(sqlite::Transaction& tx, absl::string_view id,
                                std::vector<v1::BuildEvent>& events) {
  if (events.empty()) return absl::OkStatus();
  int64_t sequence = 0;
  {
    ASSIGN_OR_RETURN(sqlite::Statement take, tx.Prepare(kTakeSequences));
    take.Bind(static_cast<int64_t>(events.size()), id);
    ASSIGN_OR_RETURN(bool row, take.Step());
    if (!row) return absl::NotFoundError(absl::StrCat("no build \"", id, "\""));
    sequence = take.Int(0) - static_cast<int64_t>(events.size());
    RETURN_IF_ERROR(take.Step().status());
  }
  for (v1::BuildEvent& event : events) {
    event.set_sequence(++sequence);
    std::string bytes = event.SerializeAsString();
    ASSIGN_OR_RETURN(sqlite::Statement append, tx.Prepare(kAppend));
    append.Bind(id, sequence, sqlite::Statement::Blob{bytes});
    RETURN_IF_ERROR(append.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::BuildEvent>> BuildStore::Events(sqlite::Transaction& tx,
                                                               absl::string_view id, int64_t after,
                                                               int max) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kEvents));
  select.Bind(id, after, max);
  std::vector<v1::BuildEvent> events;
  int64_t bytes = 0;
  while (bytes < kMaxEventBytes) {
    ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) break;
    std::string text = select.Bytes(0);
    bytes += static_cast<int64_t>(text.size());
    v1::BuildEvent event;
    if (!event.ParseFromString(text)) {
      return absl::DataLossError(absl::StrCat("build ", id, ": an event cannot be read"));
    }
    events.push_back(std::move(event));
  }
  return events;
}

absl::Status BuildStore::Trim(sqlite::Transaction& tx, int keep) {
  ASSIGN_OR_RETURN(sqlite::Statement events, tx.Prepare(kTrimEvents));
  events.Bind(keep);
  RETURN_IF_ERROR(events.Run());
  ASSIGN_OR_RETURN(sqlite::Statement rows, tx.Prepare(kTrim));
  rows.Bind(keep);
  return rows.Run();
}

}  // namespace darse::builder
