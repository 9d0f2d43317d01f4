// Wakes a stream from any thread. Cheap, never blocks, may be called when the stream is long gone:
// a producer keeps a shared_ptr and calls Wake() whenever there may be something to send.
#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace darse::rpc {

// Thread-safe.
class Waker {
 public:
  void Wake() {
    absl::MutexLock lock(&mu_);
    if (target_) target_();
  }
  // For streams only. `target` must not call back into the waker.
  void Attach(std::function<void()> target) {
    absl::MutexLock lock(&mu_);
    target_ = std::move(target);
  }
  void Detach() { Attach(nullptr); }

 private:
  absl::Mutex mu_;
  std::function<void()> target_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::rpc
