// Rows of contexts and their files.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/sqlite/database.h"
#include "services/builder/contexts/context_files.h"

namespace darse::builder {

// Stateless: each call is part of the caller's transaction.
class ContextStore {
 public:
  // OK if the context is there already.
  absl::Status Insert(sqlite::Transaction& tx, absl::string_view digest, int64_t size_bytes,
                      const ContextFiles& files, absl::Time now);
  // False if it is not there; otherwise its time of use is set.
  absl::StatusOr<bool> Touch(sqlite::Transaction& tx, absl::string_view digest, absl::Time now);
  absl::StatusOr<bool> Has(sqlite::Transaction& tx, absl::string_view digest);
  absl::StatusOr<ContextFiles> Files(sqlite::Transaction& tx, absl::string_view digest);
  // Unused since `before`, and not the context of a build that has not ended.
  absl::StatusOr<std::vector<std::string>> ListCollectable(sqlite::Transaction& tx,
                                                           absl::Time before);
  absl::StatusOr<std::vector<std::string>> ListAll(sqlite::Transaction& tx);
  absl::Status Delete(sqlite::Transaction& tx, absl::string_view digest);
};

}  // namespace darse::builder
