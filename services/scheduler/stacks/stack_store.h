// Rows of stacks and of what was last seen. The schema is in schema.h.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/sqlite/database.h"
#include "services/scheduler/observe/observed.h"
#include "services/scheduler/stacks/desired.h"

namespace darse::scheduler {

// Stateless; thread-safe.
class StackStore {
 public:
  // The stack with its services and tasks, as a whole.
  static absl::Status Save(sqlite::Transaction& tx, const DesiredStack& stack);
  static absl::Status Delete(sqlite::Transaction& tx, absl::string_view name);
  // By name.
  static absl::StatusOr<std::map<std::string, DesiredStack>> LoadAll(sqlite::Transaction& tx);
  // Grows by one with each call, for ever.
  static absl::StatusOr<int64_t> NextRequestNumber(sqlite::Transaction& tx);

  static absl::Status SaveContainer(sqlite::Transaction& tx, const SeenContainer& seen);
  static absl::Status DeleteContainer(sqlite::Transaction& tx, absl::string_view id);
  static absl::Status DeleteContainers(sqlite::Transaction& tx);
  // By id.
  static absl::StatusOr<std::vector<SeenContainer>> LoadContainers(sqlite::Transaction& tx);

  static absl::Status SaveCursor(sqlite::Transaction& tx, absl::string_view peer, int64_t sequence);
  // Empty if nothing was read of it yet.
  static absl::StatusOr<std::optional<int64_t>> LoadCursor(sqlite::Transaction& tx,
                                                           absl::string_view peer);
};

}  // namespace darse::scheduler
