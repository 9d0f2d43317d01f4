// The record of one running build and what there is to tell of it. Events of cached steps are
// gathered and written with whatever comes next; those of work that takes time are written at once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "libs/sqlite/database.h"
#include "services/builder/builds/build_record.h"
#include "services/builder/builds/build_store.h"
#include "services/builder/builds/build_watchers.h"

namespace darse::builder {

// Thread-safe. Its mutex is held over the write, so that events reach the database in the order of
// their happening.
class BuildJournal {
 public:
  BuildJournal(BuildRecord record, sqlite::Database& db, Clock& clock, BuildWatchers& watchers);

  BuildRecord record();
  // Changes the record, which becomes an event; nothing is written if it stays as it is.
  // FAILED_PRECONDITION for a state that may not follow (lifecycle.h). `also` runs in the same
  // transaction.
  absl::Status Change(absl::FunctionRef<void(BuildRecord&)> change);
  absl::Status Change(absl::FunctionRef<void(BuildRecord&)> change,
                      absl::FunctionRef<absl::Status(sqlite::Transaction&)> also);

  // Steps are counted anew.
  void BeginSteps(int total);
  // A step that turned out to be in the cache: both its events.
  void StepCached(int step, absl::string_view name);
  absl::Status StepStarted(int step, absl::string_view name);
  // Not for a failed step if `error` is empty.
  absl::Status StepFinished(int step, absl::string_view error);
  absl::Status Output(int step, absl::string_view text, bool is_stderr);
  void Warning(absl::string_view text);

 private:
  v1::BuildEvent NewEvent() const;
  absl::Status Flush(absl::FunctionRef<absl::Status(sqlite::Transaction&)> also)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  sqlite::Database& db_;
  Clock& clock_;
  BuildWatchers& watchers_;
  BuildStore store_;
  absl::Mutex mu_;
  BuildRecord record_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::BuildEvent> pending_ ABSL_GUARDED_BY(mu_);
  // Bytes of output kept, by step.
  std::map<int, int64_t> kept_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::builder
