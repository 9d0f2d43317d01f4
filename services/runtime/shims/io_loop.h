// One thread that waits for many descriptors and for the time, and wakes whoever is to act. What it
// calls must not block.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/unique_fd.h"

namespace darse::runtime {

// Thread-safe.
class IoLoop {
 public:
  explicit IoLoop(Clock& clock);
  ~IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  // `ready` is called on the loop's thread once after each Arm(). The descriptor stays the caller's
  // and must stay open until Remove() or Forget(). Answers a key, never 0.
  uint64_t Add(int fd, std::function<void()> ready);
  // `events` as for epoll_ctl(2): EPOLLIN, EPOLLOUT. Errors and hang-ups count as ready.
  void Arm(uint64_t key, uint32_t events);
  // `ready` is not called any more and does not run any more when this returns (unless it is the
  // one that calls).
  void Remove(uint64_t key);
  // As Remove, but `ready` may run once more; for one that finds out by itself that it is late.
  void Forget(uint64_t key);

  // Once, after `delay`; dropped when the loop ends first.
  void After(absl::Duration delay, std::function<void()> act);

 private:
  struct Entry {
    int fd;
    std::function<void()> ready;
  };
  void Run();
  int RunTimers();
  void Poke();
  bool IdleOf(uint64_t key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return running_ != key; }

  Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  absl::Mutex mu_;
  std::map<uint64_t, std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mu_);
  std::multimap<absl::Time, std::function<void()>> timers_ ABSL_GUARDED_BY(mu_);
  uint64_t next_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t running_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace darse::runtime
