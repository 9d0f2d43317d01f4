// All desired stacks, in memory and in the database at once.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/sqlite/database.h"
#include "services/scheduler/stacks/desired.h"

namespace darse::scheduler {

using StackPtr = std::shared_ptr<const DesiredStack>;

// Thread-safe.
class StackBook {
 public:
  static absl::StatusOr<std::unique_ptr<StackBook>> Load(sqlite::Database& db);

  // nullptr if there is none.
  StackPtr Find(absl::string_view name) const;
  std::map<std::string, StackPtr> All() const;

  // Runs `change` on a copy, stores the copy, then shows it. `change` may leave it as it is by
  // answering an error, which is answered.
  using Change = absl::FunctionRef<absl::Status(sqlite::Transaction&, DesiredStack&)>;
  // NOT_FOUND if there is none.
  absl::Status Update(absl::string_view name, Change change);
  // Begins with an empty one if there is none.
  absl::Status Create(absl::string_view name, Change change);
  absl::Status Remove(absl::string_view name);

 private:
  explicit StackBook(sqlite::Database& db) : db_(db) {}
  absl::Status Store(absl::string_view name, DesiredStack stack, Change change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);

  sqlite::Database& db_;
  // Held while writing: changes of one stack follow one another. Readers do not wait for it.
  absl::Mutex writing_ ABSL_ACQUIRED_BEFORE(mu_);
  mutable absl::Mutex mu_;
  std::map<std::string, StackPtr, std::less<>> stacks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::scheduler
