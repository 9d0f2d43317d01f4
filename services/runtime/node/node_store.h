// What the runtime remembers of its node: an id for life, and the boot that it saw last.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/sqlite/database.h"

namespace darse::runtime {

inline constexpr char kNodeSchema[] = R"sql(
  CREATE TABLE node (
    key TEXT NOT NULL PRIMARY KEY,  -- "node_id", "boot_id"
    value TEXT NOT NULL
  ) STRICT;
)sql";

// Stateless; thread-safe.
class NodeStore {
 public:
  // Empty if it was never set.
  static absl::StatusOr<std::string> Get(sqlite::Transaction& tx, absl::string_view key);
  static absl::Status Set(sqlite::Transaction& tx, absl::string_view key, absl::string_view value);
};

}  // namespace darse::runtime
