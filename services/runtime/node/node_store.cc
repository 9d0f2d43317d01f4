#include "services/runtime/node/node_store.h"

#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

constexpr char kGet[] = "SELECT value FROM node WHERE key = ?1";
constexpr char kSet[] =
    "INSERT INTO node (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";

}  // namespace

absl::StatusOr<std::string> NodeStore::Get(sqlite::Transaction& tx, absl::string_view key) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kGet));
  statement.Bind(key);
  ASSIGN_OR_RETURN(bool found, statement.Step());
  return found ? statement.Text(0) : std::string();
}

absl::Status NodeStore::Set(sqlite::Transaction& tx, absl::string_view key,
                            absl::string_view value) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kSet));
  statement.Bind(key, value);
  return statement.Run();
}

}  // namespace darse::runtime
