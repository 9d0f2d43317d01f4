// Follows the runtime: lists everything when it comes (back), then reads its events from where the
// stored cursor stands. What an event changed and the cursor behind it are stored in one
// transaction.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "libs/base/clock.h"
#include "libs/sqlite/database.h"
#include "services/scheduler/observe/observed_cache.h"
#include "services/scheduler/peers/runtime.h"

namespace darse::scheduler {

// Owns one thread. After a crash in the middle the events since the cursor are read again: they
// only say where to look.
class ObserveLoop {
 public:
  // `on_change` is called on the loop's thread whenever something new was seen, and when the
  // runtime comes or goes.
  ObserveLoop(Runtime& runtime, sqlite::Database& db, ObservedCache& cache, Clock& clock,
              std::function<void()> on_change);
  // Cancel the runtime first.
  ~ObserveLoop();

  void Start();

 private:
  void Run();
  absl::Status Follow();
  // Lists everything; answers from which event on to watch.
  absl::StatusOr<int64_t> Resync();
  absl::Status Take(const std::vector<runtime::v1::Event>& events, int64_t complete_to);
  // Looks at what the events are about and stores it with the cursor; false if nothing of it
  // matters here.
  absl::StatusOr<bool> Look(const std::vector<runtime::v1::Event>& events, int64_t complete_to);

  Runtime& runtime_;
  sqlite::Database& db_;
  ObservedCache& cache_;
  Clock& clock_;
  const std::function<void()> on_change_;
  // Events up to here are older than the list that the cache was filled from.
  int64_t listed_at_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace darse::scheduler
