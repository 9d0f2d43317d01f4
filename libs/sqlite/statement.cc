// Statement and Transaction: thin over one connection.
#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/sqlite/connection.h"
#include "libs/sqlite/database.h"

namespace darse::sqlite {

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      stmt_(std::exchange(other.stmt_, nullptr)),
      bind_error_(other.bind_error_) {}

Statement::~Statement() {
  if (stmt_ != nullptr) connection_->GiveBack(stmt_);
}

void Statement::BindOne(int index, int64_t value) {
  NoteBind(sqlite3_bind_int64(stmt_, index, value));
}

void Statement::BindOne(int index, double value) {
  NoteBind(sqlite3_bind_double(stmt_, index, value));
}

void Statement::BindOne(int index, absl::string_view value) {
  // A null pointer would bind NULL.
  NoteBind(sqlite3_bind_text64(stmt_, index, value.empty() ? "" : value.data(), value.size(),
                               SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::BindOne(int index, Blob value) {
  NoteBind(sqlite3_bind_blob64(stmt_, index, value.bytes.empty() ? "" : value.bytes.data(),
                               value.bytes.size(), SQLITE_TRANSIENT));
}

void Statement::BindOne(int index, std::nullopt_t) { NoteBind(sqlite3_bind_null(stmt_, index)); }

absl::StatusOr<bool> Statement::Step() {
  if (bind_error_ != SQLITE_OK) {
    return ErrorStatus(connection_->handle(), bind_error_,
                       absl::StrCat("bind ", sqlite3_sql(stmt_)));
  }
  int code = sqlite3_step(stmt_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  absl::Status status = ErrorStatus(connection_->handle(), code, sqlite3_sql(stmt_));
  sqlite3_reset(stmt_);
  return status;
}

absl::Status Statement::Run() {
  ASSIGN_OR_RETURN(bool row, Step());
  while (row) {
    ASSIGN_OR_RETURN(row, Step());
  }
  // Ready to be bound and run again.
  sqlite3_reset(stmt_);
  return absl::OkStatus();
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(stmt_, column); }

double Statement::Double(int column) const { return sqlite3_column_double(stmt_, column); }

std::string Statement::Text(int column) const { return Bytes(column); }

std::string Statement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(stmt_, column);
  int size = sqlite3_column_bytes(stmt_, column);
  if (bytes == nullptr || size <= 0) return std::string();
  return std::string(static_cast<const char*>(bytes), size);
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}

absl::StatusOr<Statement> Transaction::Prepare(const char* sql) {
  ASSIGN_OR_RETURN(sqlite3_stmt * stmt, state_->connection->Prepare(sql));
  return Statement(state_->connection, stmt);
}

int64_t Transaction::LastInsertId() const {
  return sqlite3_last_insert_rowid(state_->connection->handle());
}

int64_t Transaction::Changes() const { return sqlite3_changes64(state_->connection->handle()); }

void Transaction::AfterCommit(std::function<void()> wake) {
  state_->after_commit.push_back(std::move(wake));
}

}  // namespace darse::sqlite
