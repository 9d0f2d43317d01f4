// All builds: taken in, done by a few threads, oldest first, and kept for a while after their end.
//
//   Create ─► row QUEUED ─► a worker's BuildRun ─► row ended, events for who watches
//
// A build is accepted once its row is written; it goes on after a restart, and waits while the
// runtime is away.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "services/builder/builds/build_run.h"
#include "services/builder/builds/build_store.h"
#include "services/builder/builds/build_watchers.h"

namespace darse::builder {

// Thread-safe.
class BuildEngine {
 public:
  // `new_id` makes a new unique id.
  BuildEngine(BuildParts parts, std::function<std::string()> new_id);
  ~BuildEngine();

  // Call once at start: builds that were not done are queued again.
  absl::Status Recover();
  // Starts the workers.
  void Start(int workers);
  // Running builds are interrupted and go on at the next start.
  void Stop();

  // Checks the Dockerfile, then queues. The same request id answers with the same build.
  absl::StatusOr<BuildRecord> Create(v1::BuildSpec spec, absl::string_view request_id);
  absl::StatusOr<BuildRecord> Get(absl::string_view id);
  // Newest first, those with a smaller number than `before`.
  absl::StatusOr<std::vector<BuildRecord>> List(int64_t before, int max);
  // OK if it has ended already.
  absl::Status Cancel(absl::string_view id);

  struct News {
    std::vector<v1::BuildEvent> events;
    // The build has ended and there is no event behind these.
    bool is_all = false;
  };
  absl::StatusOr<News> Events(absl::string_view id, int64_t after);
  std::unique_ptr<BuildWatchers::Subscription> Watch(absl::string_view id,
                                                     std::function<void()> wake);

  // Shows on running builds whether the runtime is there.
  void RuntimeChanged(bool present);
  // Forgets ended builds but for the newest `keep`.
  absl::Status Trim(int keep);

 private:
  struct Active {
    std::shared_ptr<BuildJournal> journal;
    std::shared_ptr<Cancellation> cancellation;
  };

  void Work();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); }
  void RunOne(const std::string& id, const Active& active);

  const BuildParts parts_;
  const std::function<std::string()> new_id_;
  BuildStore store_;
  BuildWatchers watchers_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Active> active_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> workers_;
};

}  // namespace darse::builder
