#include "services/builder/cache/cache_store.h"

#include <utility>

#include "libs/base/status_macros.h"

namespace darse::builder {
namespace {

constexpr char kFind[] =
    "SELECT key, step_name, chain_id, diff_id, size_bytes, created_at, used_at FROM cache_steps "
    "WHERE key = ?";
constexpr char kPut[] =
    "INSERT INTO cache_steps (key, step_name, chain_id, diff_id, size_bytes, created_at, used_at) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE SET step_name = ?2, "
    "chain_id = ?3, diff_id = ?4, size_bytes = ?5, created_at = ?6, used_at = ?7";
constexpr char kTouch[] = "UPDATE cache_steps SET used_at = ? WHERE key = ?";
constexpr char kDelete[] = "DELETE FROM cache_steps WHERE key = ?";
constexpr char kList[] =
    "SELECT key, step_name, chain_id, diff_id, size_bytes, created_at, used_at FROM cache_steps "
    "WHERE (used_at, key) > (?, ?) ORDER BY used_at, key LIMIT ?";
constexpr char kListUnused[] =
    "SELECT key, step_name, chain_id, diff_id, size_bytes, created_at, used_at FROM cache_steps "
    "WHERE used_at < ? ORDER BY used_at, key";
constexpr char kFindDigest[] = "SELECT digest FROM cache_digests WHERE key = ?";
constexpr char kPutDigest[] =
    "INSERT INTO cache_digests (key, digest, used_at) VALUES (?1, ?2, ?3) "
    "ON CONFLICT (key) DO UPDATE SET digest = ?2, used_at = ?3";
constexpr char kDeleteDigests[] = "DELETE FROM cache_digests WHERE used_at < ?";

CacheEntry RowOf(const sqlite::Statement& row) {
  return {.key = row.Text(0),
          .step_name = row.Text(1),
          .chain_id = row.Text(2),
          .diff_id = row.Text(3),
          .size_bytes = row.Int(4),
          .created_at = absl::FromUnixMicros(row.Int(5)),
          .used_at = absl::FromUnixMicros(row.Int(6))};
}

absl::StatusOr<std::vector<CacheEntry>> Rows(sqlite::Statement& select) {
  std::vector<CacheEntry> entries;
  while (true) {
    ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return entries;
    entries.push_back(RowOf(select));
  }
}

}  // namespace

absl::StatusOr<std::optional<CacheEntry>> CacheStore::Find(sqlite::Transaction& tx,
                                                           absl::string_view key) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kFind));
  select.Bind(key);
  ASSIGN_OR_RETURN(bool row, select.Step());
  if (!row) return std::nullopt;
  return RowOf(select);
}

absl::Status CacheStore::Put(sqlite::Transaction& tx, const CacheEntry& entry) {
  ASSIGN_OR_RETURN(sqlite::Statement put, tx.Prepare(kPut));
  put.Bind(entry.key, entry.step_name, entry.chain_id, entry.diff_id, entry.size_bytes,
           absl::ToUnixMicros(entry.created_at), absl::ToUnixMicros(entry.used_at));
  return put.Run();
}

absl::Status CacheStore::Touch(sqlite::Transaction& tx, absl::string_view key, absl::Time now) {
  ASSIGN_OR_RETURN(sqlite::Statement touch, tx.Prepare(kTouch));
  touch.Bind(absl::ToUnixMicros(now), key);
  return touch.Run();
}

absl::Status CacheStore::Delete(sqlite::Transaction& tx, absl::string_view key) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kDelete));
  statement.Bind(key);
  return statement.Run();
}

absl::StatusOr<std::vector<CacheEntry>> CacheStore::List(sqlite::Transaction& tx,
                                                         const CacheCursor& after, int max) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kList));
  select.Bind(absl::ToUnixMicros(after.used_at), after.key, max);
  return Rows(select);
}

absl::StatusOr<std::vector<CacheEntry>> CacheStore::ListUnusedSince(sqlite::Transaction& tx,
                                                                    absl::Time since) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kListUnused));
  select.Bind(absl::ToUnixMicros(since));
  return Rows(select);
}

absl::StatusOr<std::optional<std::string>> CacheStore::FindDigest(sqlite::Transaction& tx,
                                                                  absl::string_view key) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kFindDigest));
  select.Bind(key);
  ASSIGN_OR_RETURN(bool row, select.Step());
  if (!row) return std::nullopt;
  return select.Text(0);
}

absl::Status CacheStore::PutDigest(sqlite::Transaction& tx, absl::string_view key,
                                   absl::string_view digest, absl::Time now) {
  ASSIGN_OR_RETURN(sqlite::Statement put, tx.Prepare(kPutDigest));
  put.Bind(key, digest, absl::ToUnixMicros(now));
  return put.Run();
}

absl::Status CacheStore::DeleteDigestsUnusedSince(sqlite::Transaction& tx, absl::Time since) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kDeleteDigests));
  statement.Bind(absl::ToUnixMicros(since));
  return statement.Run();
}

}  // namespace darse::builder
