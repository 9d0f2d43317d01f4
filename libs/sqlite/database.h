// One SQLite file with one writing process: WAL, numbered migrations, transactions as arguments.
//
//   db.Write([&](Transaction& tx) -> absl::Status {
//     ASSIGN_OR_RETURN(Statement insert, tx.Prepare(kInsert));
//     insert.Bind(id, name, created_at);
//     return insert.Run();
//   });
//
// One thread writes at a time, and puts the writes of those that wait meanwhile into one commit;
// each still succeeds or fails alone (savepoints). Write() returns when its rows are durable, or
// sooner if it is told that they need not be.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace darse::sqlite {

class Connection;

// A prepared statement with its bindings. Goes back to the connection's cache when it is destroyed.
// One thread only; must not outlive the transaction that made it.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) = delete;
  ~Statement();

  // Binds ?1, ?2, … in order. Integers, bool, double, absl::string_view, Blob, std::optional of
  // these (nullopt: NULL).
  template <typename... Args>
  void Bind(const Args&... args) {
    int index = 0;
    (BindOne(++index, args), ...);
  }
  // Wraps bytes that are to be stored as a BLOB.
  struct Blob {
    absl::string_view bytes;
  };

  // Runs a statement without rows to its end.
  absl::Status Run();
  // Moves to the next row; false after the last.
  absl::StatusOr<bool> Step();

  // Columns of the present row, from 0. Views hold until the next Step().
  int64_t Int(int column) const;
  double Double(int column) const;
  bool Bool(int column) const { return Int(column) != 0; }
  std::string Text(int column) const;
  std::string Bytes(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Transaction;
  Statement(Connection* connection, sqlite3_stmt* stmt) : connection_(connection), stmt_(stmt) {}
  void NoteBind(int code) {
    if (code != 0 && bind_error_ == 0) bind_error_ = code;
  }
  void BindOne(int index, int64_t value);
  void BindOne(int index, int value) { BindOne(index, static_cast<int64_t>(value)); }
  void BindOne(int index, uint32_t value) { BindOne(index, static_cast<int64_t>(value)); }
  void BindOne(int index, uint64_t value) { BindOne(index, static_cast<int64_t>(value)); }
  void BindOne(int index, bool value) { BindOne(index, static_cast<int64_t>(value)); }
  void BindOne(int index, double value);
  void BindOne(int index, absl::string_view value);
  void BindOne(int index, const std::string& value) { BindOne(index, absl::string_view(value)); }
  void BindOne(int index, const char* value) { BindOne(index, absl::string_view(value)); }
  void BindOne(int index, Blob value);
  void BindOne(int index, std::nullopt_t);
  template <typename T>
  void BindOne(int index, const std::optional<T>& value) {
    if (value) {
      BindOne(index, *value);
    } else {
      BindOne(index, std::nullopt);
    }
  }

  Connection* connection_;
  sqlite3_stmt* stmt_;
  // The first binding that failed; told by Run and Step.
  int bind_error_ = 0;
};

// One thread only: the one that runs the function it was given to.
class Transaction {
 public:
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // `sql` must be one statement with static storage: statements are cached by address and text.
  absl::StatusOr<Statement> Prepare(const char* sql);
  // Of the newest INSERT.
  int64_t LastInsertId() const;
  // Rows changed by the newest statement.
  int64_t Changes() const;
  // Runs after the commit of this transaction (not if it fails), on the thread that commits: to
  // wake those who wait for what it wrote. Must not block or write.
  void AfterCommit(std::function<void()> wake);

 private:
  friend class FileDatabase;
  friend class Connection;
  struct State;
  explicit Transaction(State* state) : state_(state) {}
  State* state_;
};

// One step of the schema: from version `to - 1` to `to`. SQL may hold several statements.
struct Migration {
  int to;
  const char* sql;
};

struct DatabaseOptions {
  // FULL: a commit survives power loss. Otherwise NORMAL: it survives a crash of the process.
  bool durable = true;
  // A damaged file is renamed to "<path>.damaged-<unix seconds>" and a new one is made; see
  // Database::was_damaged().
  bool set_aside_if_damaged = true;
};

enum class Durability {
  // As DatabaseOptions::durable says.
  kDurable,
  // Survives a crash of this process; a power loss may undo it, with all that was written after it
  // and before the next durable commit, never without. For steps on the way to a durable one, and
  // for what can be found out again.
  kRelaxed,
};

// Thread-safe.
class Database {
 public:
  // Opens or makes the file, checks it (integrity_check) and brings it to the newest migration
  // (numbers 1, 2, … without gaps). FAILED_PRECONDITION if the file is newer than the newest
  // migration; DATA_LOSS if it is damaged and may not be set aside; UNAVAILABLE if another process
  // has it open for writing.
  static absl::StatusOr<std::unique_ptr<Database>> Open(absl::string_view path,
                                                        std::span<const Migration> migrations,
                                                        const DatabaseOptions& options = {});
  virtual ~Database() = default;

  // Runs `body`, on some thread that writes just now, in a transaction; commits when it answers OK
  // and undoes all of it otherwise. Must not be called from inside a body.
  virtual absl::Status Write(absl::FunctionRef<absl::Status(Transaction&)> body,
                             Durability durability = Durability::kDurable) = 0;
  // Runs `body` on the calling thread against a snapshot; it must not change anything.
  virtual absl::Status Read(absl::FunctionRef<absl::Status(Transaction&)> body) = 0;
  // True if Open() set a damaged file aside: its owner should rebuild what it can.
  virtual bool was_damaged() const = 0;

 protected:
  Database() = default;
};

// Maps an SQLite result code: BUSY/LOCKED → UNAVAILABLE, FULL → RESOURCE_EXHAUSTED, CONSTRAINT
// unique → ALREADY_EXISTS, CORRUPT/NOTADB → DATA_LOSS, …; the message is "doing: why".
absl::Status ErrorStatus(sqlite3* db, int code, absl::string_view doing);

}  // namespace darse::sqlite
