// One SQLite connection with its cache of prepared statements. Private to libs/sqlite.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/sqlite/database.h"

namespace darse::sqlite {

// One thread at a time.
class Connection {
 public:
  // `writer`: may change the file and makes it if it is missing.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path, bool writer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs any number of statements; drops their rows.
  absl::Status Execute(const char* sql);
  // The first column of the first row.
  absl::StatusOr<std::string> QueryText(const char* sql);
  absl::StatusOr<sqlite3_stmt*> Prepare(const char* sql);
  // Resets a statement and returns it to the cache, or finalizes it if it was a second copy.
  void GiveBack(sqlite3_stmt* stmt);
  // Throws away what a failed COMMIT or a body left open.
  void RollBack();

  sqlite3* handle() const { return db_; }

 private:
  explicit Connection(sqlite3* db) : db_(db) {}
  sqlite3* const db_;
  // By text.
  struct Cached {
    sqlite3_stmt* stmt = nullptr;
    bool lent = false;
  };
  absl::flat_hash_map<std::string, Cached> cache_;
};

struct Transaction::State {
  Connection* connection;
  std::vector<std::function<void()>> after_commit;
};

}  // namespace darse::sqlite
