// One build's wish to end, seen by all that work for it.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace darse::builder {

// Thread-safe.
class Cancellation {
 public:
  // For good.
  void Cancel() {
    absl::MutexLock lock(&mu_);
    canceled_ = true;
    for (auto& [number, wake] : wakes_) wake();
  }
  bool canceled() const {
    absl::MutexLock lock(&mu_);
    return canceled_;
  }

  // Calls `wake` when it comes to that (at once if it has already), not any more once this is
  // destroyed. `wake` must not block and not use the cancellation.
  class Listener {
   public:
    Listener(Cancellation& owner, std::function<void()> wake) : owner_(owner) {
      absl::MutexLock lock(&owner_.mu_);
      if (owner_.canceled_) wake();
      number_ = owner_.next_++;
      owner_.wakes_.emplace(number_, std::move(wake));
    }
    ~Listener() {
      absl::MutexLock lock(&owner_.mu_);
      owner_.wakes_.erase(number_);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

   private:
    Cancellation& owner_;
    int number_ = 0;
  };

 private:
  mutable absl::Mutex mu_;
  bool canceled_ ABSL_GUARDED_BY(mu_) = false;
  int next_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<int, std::function<void()>> wakes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::builder
