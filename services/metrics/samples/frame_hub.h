// The newest frame, and who wants to be woken when there is a newer one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/metrics/samples/frame.h"

namespace darse::metrics {

// Thread-safe.
class FrameHub {
 public:
  struct Newest {
    // 0 before the first frame; grows by one with each.
    int64_t number = 0;
    std::shared_ptr<const SampledFrame> frame;
  };
  void Publish(std::shared_ptr<const SampledFrame> frame) {
    absl::MutexLock lock(&mu_);
    newest_ = {newest_.number + 1, std::move(frame)};
    for (const auto& [key, wake] : wakes_) wake();
  }
  Newest newest() const {
    absl::MutexLock lock(&mu_);
    return newest_;
  }
  // `wake` must only wake somebody. It is not called any more once the subscription is destroyed.
  std::shared_ptr<void> Subscribe(std::function<void()> wake) {
    absl::MutexLock lock(&mu_);
    int64_t key = next_key_++;
    wakes_[key] = std::move(wake);
    return std::shared_ptr<void>(nullptr, [this, key](void*) {
      absl::MutexLock unsubscribe(&mu_);
      wakes_.erase(key);
    });
  }

 private:
  mutable absl::Mutex mu_;
  Newest newest_ ABSL_GUARDED_BY(mu_);
  int64_t next_key_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<int64_t, std::function<void()>> wakes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::metrics
