#include "libs/sqlite/connection.h"

#include <sqlite3.h>

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::sqlite {
namespace {

absl::StatusCode CodeOf(int code) {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return absl::StatusCode::kAlreadyExists;
  }
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      return absl::StatusCode::kUnavailable;
    case SQLITE_INTERRUPT:
    case SQLITE_ABORT:
      return absl::StatusCode::kAborted;
    default:
      return absl::StatusCode::kInternal;
  }
}

// Before the first connection: no allocator statistics, a lock less in each call.
void ConfigureOnce() {
  static std::once_flag once;
  std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

}  // namespace

absl::Status ErrorStatus(sqlite3* db, int code, absl::string_view doing) {
  if (db != nullptr && sqlite3_extended_errcode(db) == code) {
    return absl::Status(CodeOf(code), absl::StrCat(doing, ": ", sqlite3_errmsg(db)));
  }
  return absl::Status(CodeOf(code), absl::StrCat(doing, ": ", sqlite3_errstr(code)));
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path, bool writer) {
  ConfigureOnce();
  // NOMUTEX: a connection is used by one thread at a time. A reader of a WAL database must be able
  // to write its shared memory, so it is opened for writing and then forbidden to.
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (writer) flags |= SQLITE_OPEN_CREATE;
  sqlite3* db = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  std::unique_ptr<Connection> connection(new Connection(db));
  if (code != SQLITE_OK) return ErrorStatus(db, code, absl::StrCat("open ", path));
  sqlite3_busy_timeout(db, 5000);
  // Pages are in the kernel's cache already: half a megabyte here is enough.
  RETURN_IF_ERROR(connection->Execute(
      "PRAGMA foreign_keys = ON; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;"));
  // Of readers there are several, and each commit empties what they have.
  if (!writer) {
    RETURN_IF_ERROR(connection->Execute("PRAGMA query_only = ON; PRAGMA cache_size = -256;"));
  }
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, cached] : cache_) sqlite3_finalize(cached.stmt);
  sqlite3_close_v2(db_);
}

absl::Status Connection::Execute(const char* sql) {
  int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return ErrorStatus(db_, code, sql);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Connection::QueryText(const char* sql) {
  sqlite3_stmt* stmt = nullptr;
  int code = sqlite3_prepare_v2(db_, sql, -1, &stmt, nullptr);
  if (code != SQLITE_OK) return ErrorStatus(db_, code, sql);
  code = sqlite3_step(stmt);
  std::string text;
  if (code == SQLITE_ROW) {
    const unsigned char* column = sqlite3_column_text(stmt, 0);
    if (column != nullptr) text = reinterpret_cast<const char*>(column);
  }
  absl::Status status =
      code == SQLITE_ROW || code == SQLITE_DONE ? absl::OkStatus() : ErrorStatus(db_, code, sql);
  sqlite3_finalize(stmt);
  if (!status.ok()) return status;
  return text;
}

absl::StatusOr<sqlite3_stmt*> Connection::Prepare(const char* sql) {
  auto found = cache_.find(absl::string_view(sql));
  bool cached = found != cache_.end();
  if (cached && !found->second.lent) {
    found->second.lent = true;
    return found->second.stmt;
  }
  sqlite3_stmt* stmt = nullptr;
  const char* tail = nullptr;
  int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, &tail);
  if (code != SQLITE_OK) return ErrorStatus(db_, code, absl::StrCat("prepare ", sql));
  if (stmt == nullptr) return absl::InternalError(absl::StrCat("prepare ", sql, ": no statement"));
  if (tail != nullptr &&
      absl::string_view(tail).find_first_not_of(" \t\n;") != absl::string_view::npos) {
    sqlite3_finalize(stmt);
    return absl::InternalError(absl::StrCat("prepare ", sql, ": more than one statement"));
  }
  if (!cached) cache_[sql] = {stmt, true};
  return stmt;
}

void Connection::GiveBack(sqlite3_stmt* stmt) {
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
  auto found = cache_.find(absl::string_view(sqlite3_sql(stmt)));
  if (found != cache_.end() && found->second.stmt == stmt) {
    found->second.lent = false;
  } else {
    sqlite3_finalize(stmt);
  }
}

void Connection::RollBack() {
  if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace darse::sqlite
