// The known containers and the cursor in the runtime's event log, in the database.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/sqlite/database.h"
#include "services/metrics/containers/known_container.h"

namespace darse::metrics {

// Thread-safe: has no state of its own.
class ContainerStore {
 public:
  // By name.
  absl::StatusOr<std::vector<KnownContainer>> List(sqlite::Transaction& tx) const;
  // These and no others.
  absl::Status Replace(sqlite::Transaction& tx,
                       const std::vector<KnownContainer>& containers) const;
  // Nothing before the first event was read.
  absl::StatusOr<std::optional<int64_t>> Cursor(sqlite::Transaction& tx) const;
  absl::Status SetCursor(sqlite::Transaction& tx, int64_t sequence) const;
};

}  // namespace darse::metrics
