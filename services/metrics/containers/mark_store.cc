#include "services/metrics/containers/mark_store.h"

#include "libs/base/status_macros.h"

namespace darse::metrics {
namespace {

constexpr char kInsert[] =
    "INSERT INTO marks (sequence, time_ns, subject, action, text) VALUES (?, ?, ?, ?, ?)";
constexpr char kListAll[] =
    "SELECT sequence, time_ns, subject, action, text FROM marks "
    "WHERE time_ns >= ? AND time_ns < ? ORDER BY time_ns, id LIMIT ?";
constexpr char kListOfSubject[] =
    "SELECT sequence, time_ns, subject, action, text FROM marks "
    "WHERE subject = ? AND time_ns >= ? AND time_ns < ? ORDER BY time_ns, id LIMIT ?";
constexpr char kTrim[] =
    "DELETE FROM marks WHERE id <= "
    "(SELECT id FROM marks ORDER BY id DESC LIMIT 1 OFFSET ?)";
constexpr char kListDeployments[] = "SELECT subject, config_hash FROM deployments ORDER BY subject";
constexpr char kSetDeployment[] =
    "INSERT INTO deployments (subject, config_hash) VALUES (?, ?) "
    "ON CONFLICT (subject) DO UPDATE SET config_hash = excluded.config_hash";

}  // namespace

absl::Status MarkStore::Insert(sqlite::Transaction& tx, const Mark& mark) const {
  ASSIGN_OR_RETURN(sqlite::Statement insert, tx.Prepare(kInsert));
  insert.Bind(mark.sequence, absl::ToUnixNanos(mark.time), mark.subject, mark.action, mark.text);
  return insert.Run();
}

absl::StatusOr<std::vector<Mark>> MarkStore::List(sqlite::Transaction& tx,
                                                  const std::string& subject, absl::Time start,
                                                  absl::Time end, int max) const {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(subject.empty() ? kListAll : kListOfSubject));
  int64_t start_ns = absl::ToUnixNanos(start), end_ns = absl::ToUnixNanos(end);
  if (subject.empty()) {
    row.Bind(start_ns, end_ns, max);
  } else {
    row.Bind(subject, start_ns, end_ns, max);
  }
  std::vector<Mark> marks;
  for (;;) {
    ASSIGN_OR_RETURN(bool more, row.Step());
    if (!more) return marks;
    marks.push_back({.sequence = row.Int(0),
                     .time = absl::FromUnixNanos(row.Int(1)),
                     .subject = row.Text(2),
                     .action = row.Text(3),
                     .text = row.Text(4)});
  }
}

absl::Status MarkStore::Trim(sqlite::Transaction& tx, int64_t keep) const {
  ASSIGN_OR_RETURN(sqlite::Statement trim, tx.Prepare(kTrim));
  trim.Bind(keep);
  return trim.Run();
}

absl::StatusOr<Deployments> MarkStore::ListDeployments(sqlite::Transaction& tx) const {
  Deployments deployments;
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kListDeployments));
  for (;;) {
    ASSIGN_OR_RETURN(bool more, row.Step());
    if (!more) return deployments;
    deployments[row.Text(0)] = row.Text(1);
  }
}

absl::Status MarkStore::SetDeployment(sqlite::Transaction& tx, const std::string& subject,
                                      const std::string& config_hash) const {
  ASSIGN_OR_RETURN(sqlite::Statement set, tx.Prepare(kSetDeployment));
  set.Bind(subject, config_hash);
  return set.Run();
}

}  // namespace darse::metrics
