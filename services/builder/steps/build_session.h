// What all steps of one running build share: its journal, its wish to end, its lease, and patience
// with a runtime that is away.
#pragma once

#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "services/builder/builds/build_journal.h"
#include "services/builder/cancellation.h"
#include "services/builder/runtime.h"

namespace darse::builder {

// At most so many at a time, over all builds. Thread-safe.
class RunSlots {
 public:
  explicit RunSlots(int count) : free_(count) {}
  // CANCELLED when it comes to that.
  absl::Status Take(Cancellation& cancellation);
  void GiveBack();

 private:
  absl::Mutex mu_;
  int free_ ABSL_GUARDED_BY(mu_);
};

// Thread-safe.
class BuildSession {
 public:
  BuildSession(std::string build_id, Runtime& runtime, Clock& clock, BuildJournal& journal,
               Cancellation& cancellation);

  const std::string& build_id() const { return build_id_; }
  Runtime& runtime() { return runtime_; }
  BuildJournal& journal() { return journal_; }
  Cancellation& cancellation() { return cancellation_; }
  // "builder/build-<id>"
  const std::string& lease() const { return lease_; }

  // Repeats `call` until the runtime is there to answer it; the build shows WAITING meanwhile.
  // CANCELLED when it comes to that.
  absl::Status WhileAway(absl::FunctionRef<absl::Status()> call);
  // The build shows WAITING until the runtime is there.
  absl::Status WaitForRuntime();

  // An image that the build reads; held once there is a lease.
  absl::Status UseImage(absl::string_view image_id);
  // Makes the lease, the first time. A build that finds all in the cache needs none.
  absl::Status EnsureLease();
  // Snapshots that are left go with it.
  void ReleaseLease();

 private:
  const std::string build_id_;
  const std::string lease_;
  Runtime& runtime_;
  Clock& clock_;
  BuildJournal& journal_;
  Cancellation& cancellation_;
  absl::Mutex mu_;
  bool leased_ ABSL_GUARDED_BY(mu_) = false;
  std::set<std::string> images_ ABSL_GUARDED_BY(mu_);
};

// "waiting for runtime since 2026-01-02T03:04:05Z"
std::string WaitingText(absl::Time since);

}  // namespace darse::builder
