// Marks and deployments in the database.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/sqlite/database.h"
#include "services/metrics/containers/mark.h"

namespace darse::metrics {

// Thread-safe: has no state of its own.
class MarkStore {
 public:
  // Once an event: its caller moves the cursor in the same transaction.
  absl::Status Insert(sqlite::Transaction& tx, const Mark& mark) const;
  // Oldest first, at most `max`; of all subjects if `subject` is empty.
  absl::StatusOr<std::vector<Mark>> List(sqlite::Transaction& tx, const std::string& subject,
                                         absl::Time start, absl::Time end, int max) const;
  // Keeps the newest so many.
  absl::Status Trim(sqlite::Transaction& tx, int64_t keep) const;
  absl::StatusOr<Deployments> ListDeployments(sqlite::Transaction& tx) const;
  absl::Status SetDeployment(sqlite::Transaction& tx, const std::string& subject,
                             const std::string& config_hash) const;
};

}  // namespace darse::metrics
