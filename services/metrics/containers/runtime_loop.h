// Follows the runtime: which containers there are, and what happened to them.
//
// A batch of events, the containers as they are after it, and the cursor go into the database in
// one transaction: a mark is neither lost nor doubled, whoever was down. When the runtime's log no
// longer goes back to the cursor, the containers are listed anew and the cursor moves to the log's
// end.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "libs/sqlite/database.h"
#include "services/metrics/containers/container_store.h"
#include "services/metrics/containers/known_container.h"
#include "services/metrics/containers/mark_store.h"
#include "services/metrics/containers/runtime_client.h"

namespace darse::metrics {

// Thread-safe.
class RuntimeLoop {
 public:
  // Knows at once what the database knows.
  static absl::StatusOr<std::unique_ptr<RuntimeLoop>> Start(sqlite::Database& db,
                                                            RuntimeClient& client, Clock& clock);
  ~RuntimeLoop();

  // As of the newest batch; never null.
  std::shared_ptr<const std::vector<KnownContainer>> containers() const;
  int64_t cursor() const { return cursor_.load(); }

 private:
  RuntimeLoop(sqlite::Database& db, RuntimeClient& client, Clock& clock)
      : db_(db), client_(client), clock_(clock) {}
  absl::Status Load();
  void Run();
  // One connection's worth: list, then watch until it breaks.
  absl::Status Follow();
  absl::Status Handle(const std::vector<RuntimeEvent>& events);
  void Publish(std::vector<KnownContainer> containers);
  bool WaitOrStop(absl::Duration time);

  sqlite::Database& db_;
  RuntimeClient& client_;
  Clock& clock_;
  ContainerStore containers_store_;
  MarkStore marks_;
  Deployments deployments_;
  std::atomic<int64_t> cursor_{0};
  bool has_cursor_ = false;
  mutable absl::Mutex mu_;
  std::shared_ptr<const std::vector<KnownContainer>> containers_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace darse::metrics
