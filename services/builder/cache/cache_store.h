// Rows of the build cache.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/sqlite/database.h"

namespace darse::builder {

struct CacheEntry {
  std::string key;
  std::string step_name;
  // After the step; the parent's if it changed no file, and then `diff_id` is empty.
  std::string chain_id;
  std::string diff_id;
  int64_t size_bytes = 0;
  absl::Time created_at;
  absl::Time used_at;
};

// Where a list goes on.
struct CacheCursor {
  absl::Time used_at = absl::UnixEpoch();
  std::string key;
};

// Stateless: each call is part of the caller's transaction.
class CacheStore {
 public:
  absl::StatusOr<std::optional<CacheEntry>> Find(sqlite::Transaction& tx, absl::string_view key);
  absl::Status Put(sqlite::Transaction& tx, const CacheEntry& entry);
  absl::Status Touch(sqlite::Transaction& tx, absl::string_view key, absl::Time now);
  absl::Status Delete(sqlite::Transaction& tx, absl::string_view key);
  // Least recently used first, behind `after`; at most `max`, all if negative.
  absl::StatusOr<std::vector<CacheEntry>> List(sqlite::Transaction& tx, const CacheCursor& after,
                                               int max);
  absl::StatusOr<std::vector<CacheEntry>> ListUnusedSince(sqlite::Transaction& tx,
                                                          absl::Time since);

  absl::StatusOr<std::optional<std::string>> FindDigest(sqlite::Transaction& tx,
                                                        absl::string_view key);
  absl::Status PutDigest(sqlite::Transaction& tx, absl::string_view key, absl::string_view digest,
                         absl::Time now);
  absl::Status DeleteDigestsUnusedSince(sqlite::Transaction& tx, absl::Time since);
};

}  // namespace darse::builder
