#include "services/runtime/snapshots/snapshot_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

using sqlite::Statement;
using sqlite::Transaction;

constexpr char kAddLayer[] =
    "INSERT INTO layers (chain_id, diff_id, parent_chain_id, size_bytes, tar_bytes, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (chain_id) DO NOTHING";
constexpr char kGetLayer[] =
    "SELECT chain_id, diff_id, parent_chain_id, size_bytes, tar_bytes FROM layers "
    "WHERE chain_id = ?";
constexpr char kGetChain[] = R"sql(
  WITH RECURSIVE chain (depth, chain_id, diff_id, parent_chain_id, size_bytes, tar_bytes) AS (
    SELECT 0, chain_id, diff_id, parent_chain_id, size_bytes, tar_bytes
    FROM layers WHERE chain_id = ?
    UNION ALL
    SELECT depth + 1, l.chain_id, l.diff_id, l.parent_chain_id, l.size_bytes, l.tar_bytes
    FROM chain c JOIN layers l ON l.chain_id = c.parent_chain_id)
  SELECT chain_id, diff_id, parent_chain_id, size_bytes, tar_bytes FROM chain ORDER BY depth)sql";
constexpr char kFindDiff[] =
    "SELECT chain_id, diff_id, parent_chain_id, size_bytes, tar_bytes FROM layers "
    "WHERE diff_id = ? ORDER BY chain_id LIMIT 1";
constexpr char kListDiffs[] = "SELECT DISTINCT diff_id FROM layers ORDER BY diff_id";

constexpr char kPutLease[] =
    "INSERT INTO leases (lease, expires_at) VALUES (?, ?) "
    "ON CONFLICT (lease) DO UPDATE SET expires_at = excluded.expires_at";
constexpr char kGetLease[] = "SELECT 1 FROM leases WHERE lease = ?";
constexpr char kHoldLayer[] =
    "INSERT INTO lease_layers (lease, chain_id) VALUES (?, ?) ON CONFLICT DO NOTHING";
constexpr char kDropLayer[] = "DELETE FROM lease_layers WHERE lease = ? AND chain_id = ?";
constexpr char kHoldImage[] =
    "INSERT INTO lease_images (lease, image_id) VALUES (?, ?) ON CONFLICT DO NOTHING";
constexpr char kDropImage[] = "DELETE FROM lease_images WHERE lease = ? AND image_id = ?";
constexpr char kLeaseHoldsImage[] =
    "SELECT 1 FROM lease_images JOIN leases USING (lease) "
    "WHERE image_id = ? AND (expires_at IS NULL OR expires_at > ?) LIMIT 1";
constexpr char kEndLease[] = "UPDATE leases SET expires_at = 0 WHERE lease = ?";

constexpr char kAddSnapshot[] =
    "INSERT INTO snapshots (snapshot_id, lease, parent_chain_id, created_at) VALUES (?, ?, ?, ?)";
constexpr char kGetSnapshot[] =
    "SELECT snapshot_id, lease, parent_chain_id FROM snapshots WHERE snapshot_id = ?";
constexpr char kListSnapshots[] =
    "SELECT snapshot_id, lease, parent_chain_id FROM snapshots ORDER BY snapshot_id";
constexpr char kDeleteSnapshot[] = "DELETE FROM snapshots WHERE snapshot_id = ?";

constexpr char kExpiredSnapshots[] =
    "SELECT snapshot_id FROM snapshots JOIN leases USING (lease) WHERE expires_at <= ? "
    "ORDER BY snapshot_id";
constexpr char kDeleteExpired[] =
    "DELETE FROM leases WHERE expires_at <= ? AND lease NOT IN "
    "(SELECT lease FROM snapshots WHERE lease IS NOT NULL)";
// images is of image_store.h.
constexpr char kDeleteUnheld[] = R"sql(
  WITH RECURSIVE held (chain_id) AS (
    SELECT chain_id FROM images WHERE chain_id IS NOT NULL
    UNION SELECT parent_chain_id FROM snapshots WHERE parent_chain_id IS NOT NULL
    UNION SELECT chain_id FROM lease_layers
    UNION SELECT l.parent_chain_id FROM held h JOIN layers l ON l.chain_id = h.chain_id
          WHERE l.parent_chain_id IS NOT NULL)
  DELETE FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM held) 
  RETURNING diff_id, size_bytes)sql";

LayerRow ReadLayer(const Statement& row) {
  return {.chain_id = row.Text(0),
          .diff_id = row.Text(1),
          .parent_chain_id = row.Text(2),
          .size_bytes = row.Int(3),
          .tar_bytes = row.Int(4)};
}

SnapshotRow ReadSnapshot(const Statement& row) {
  return {.snapshot_id = row.Text(0), .lease = row.Text(1), .parent_chain_id = row.Text(2)};
}

std::optional<std::string> OrNull(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

template <typename... Args>
absl::Status Run(Transaction& tx, const char* sql, const Args&... args) {
  ASSIGN_OR_RETURN(Statement statement, tx.Prepare(sql));
  statement.Bind(args...);
  return statement.Run();
}

template <typename... Args>
absl::StatusOr<bool> Any(Transaction& tx, const char* sql, const Args&... args) {
  ASSIGN_OR_RETURN(Statement statement, tx.Prepare(sql));
  statement.Bind(args...);
  return statement.Step();
}

template <typename... Args>
absl::StatusOr<std::vector<std::string>> Texts(Transaction& tx, const char* sql,
                                               const Args&... args) {
  ASSIGN_OR_RETURN(Statement statement, tx.Prepare(sql));
  statement.Bind(args...);
  std::vector<std::string> texts;
  while (true) {
    ASSIGN_OR_RETURN(bool more, statement.Step());
    if (!more) return texts;
    texts.push_back(statement.Text(0));
  }
}

}  // namespace

absl::Status SnapshotStore::AddLayer(Transaction& tx, const LayerRow& layer, absl::Time now) const {
  return Run(tx, kAddLayer, layer.chain_id, layer.diff_id, OrNull(layer.parent_chain_id),
             layer.size_bytes, layer.tar_bytes, absl::ToUnixNanos(now));
}

absl::StatusOr<LayerRow> SnapshotStore::GetLayer(Transaction& tx,
                                                 absl::string_view chain_id) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kGetLayer));
  select.Bind(chain_id);
  ASSIGN_OR_RETURN(bool found, select.Step());
  if (!found) return absl::NotFoundError(absl::StrCat("layer ", chain_id, " is not here"));
  return ReadLayer(select);
}

absl::StatusOr<std::vector<LayerRow>> SnapshotStore::GetChain(Transaction& tx,
                                                              absl::string_view chain_id) const {
  std::vector<LayerRow> chain;
  if (chain_id.empty()) return chain;
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kGetChain));
  select.Bind(chain_id);
  while (true) {
    ASSIGN_OR_RETURN(bool more, select.Step());
    if (!more) break;
    chain.push_back(ReadLayer(select));
  }
  if (chain.empty()) return absl::NotFoundError(absl::StrCat("layer ", chain_id, " is not here"));
  return chain;
}

absl::StatusOr<std::optional<LayerRow>> SnapshotStore::FindDiff(Transaction& tx,
                                                                absl::string_view diff_id) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kFindDiff));
  select.Bind(diff_id);
  ASSIGN_OR_RETURN(bool found, select.Step());
  if (!found) return std::nullopt;
  return ReadLayer(select);
}

absl::StatusOr<std::vector<std::string>> SnapshotStore::ListDiffs(Transaction& tx) const {
  return Texts(tx, kListDiffs);
}

absl::Status SnapshotStore::PutLease(Transaction& tx, absl::string_view lease,
                                     std::optional<absl::Time> expires_at) const {
  std::optional<int64_t> nanoseconds;
  if (expires_at) nanoseconds = absl::ToUnixNanos(*expires_at);
  return Run(tx, kPutLease, lease, nanoseconds);
}

absl::Status SnapshotStore::CheckLease(Transaction& tx, absl::string_view lease) const {
  ASSIGN_OR_RETURN(bool found, Any(tx, kGetLease, lease));
  if (!found) return absl::NotFoundError(absl::StrCat("no lease \"", lease, "\""));
  return absl::OkStatus();
}

absl::Status SnapshotStore::HoldLayer(Transaction& tx, absl::string_view lease,
                                      absl::string_view chain_id) const {
  return Run(tx, kHoldLayer, lease, chain_id);
}

absl::Status SnapshotStore::DropLayer(Transaction& tx, absl::string_view lease,
                                      absl::string_view chain_id) const {
  return Run(tx, kDropLayer, lease, chain_id);
}

absl::Status SnapshotStore::HoldImage(Transaction& tx, absl::string_view lease,
                                      absl::string_view image_id) const {
  return Run(tx, kHoldImage, lease, image_id);
}

absl::Status SnapshotStore::DropImage(Transaction& tx, absl::string_view lease,
                                      absl::string_view image_id) const {
  return Run(tx, kDropImage, lease, image_id);
}

absl::StatusOr<bool> SnapshotStore::LeaseHoldsImage(Transaction& tx, absl::string_view image_id,
                                                    absl::Time now) const {
  return Any(tx, kLeaseHoldsImage, image_id, absl::ToUnixNanos(now));
}

absl::Status SnapshotStore::EndLease(Transaction& tx, absl::string_view lease) const {
  return Run(tx, kEndLease, lease);
}

absl::Status SnapshotStore::AddSnapshot(Transaction& tx, const SnapshotRow& snapshot,
                                        absl::Time now) const {
  return Run(tx, kAddSnapshot, snapshot.snapshot_id, OrNull(snapshot.lease),
             OrNull(snapshot.parent_chain_id), absl::ToUnixNanos(now));
}

absl::StatusOr<SnapshotRow> SnapshotStore::GetSnapshot(Transaction& tx,
                                                       absl::string_view snapshot_id) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kGetSnapshot));
  select.Bind(snapshot_id);
  ASSIGN_OR_RETURN(bool found, select.Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no snapshot \"", snapshot_id, "\""));
  return ReadSnapshot(select);
}

absl::StatusOr<std::vector<SnapshotRow>> SnapshotStore::ListSnapshots(Transaction& tx) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kListSnapshots));
  std::vector<SnapshotRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(bool more, select.Step());
    if (!more) return rows;
    rows.push_back(ReadSnapshot(select));
  }
}

absl::StatusOr<std::vector<std::string>> SnapshotStore::ListExpired(Transaction& tx,
                                                                    absl::Time now) const {
  return Texts(tx, kExpiredSnapshots, absl::ToUnixNanos(now));
}

absl::Status SnapshotStore::DeleteSnapshot(Transaction& tx, absl::string_view snapshot_id) const {
  return Run(tx, kDeleteSnapshot, snapshot_id);
}

absl::StatusOr<Collected> SnapshotStore::Collect(Transaction& tx, absl::Time now,
                                                 const std::vector<std::string>& running) const {
  Collected collected;
  int64_t nanoseconds = absl::ToUnixNanos(now);
  ASSIGN_OR_RETURN(std::vector<std::string> expired, ListExpired(tx, now));
  for (std::string& snapshot_id : expired) {
    if (std::find(running.begin(), running.end(), snapshot_id) != running.end()) continue;
    RETURN_IF_ERROR(DeleteSnapshot(tx, snapshot_id));
    collected.snapshot_ids.push_back(std::move(snapshot_id));
  }
  RETURN_IF_ERROR(Run(tx, kDeleteExpired, nanoseconds));
  std::map<std::string, int64_t> diffs;
  {
    ASSIGN_OR_RETURN(Statement unheld, tx.Prepare(kDeleteUnheld));
    while (true) {
      ASSIGN_OR_RETURN(bool more, unheld.Step());
      if (!more) break;
      diffs[unheld.Text(0)] = unheld.Int(1);
    }
  }
  for (const auto& [diff_id, bytes] : diffs) {
    ASSIGN_OR_RETURN(std::optional<LayerRow> needed, FindDiff(tx, diff_id));
    if (needed) continue;
    collected.diff_ids.push_back(diff_id);
    collected.bytes += bytes;
  }
  return collected;
}

}  // namespace darse::runtime
