// Who waits for news of which build.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace darse::builder {

// Thread-safe. Outlives its subscriptions.
class BuildWatchers {
 public:
  // `wake` is called after each change until this is destroyed; it must not block.
  class Subscription {
   public:
    Subscription(BuildWatchers& watchers, std::string id, std::function<void()> wake)
        : watchers_(watchers), id_(std::move(id)) {
      absl::MutexLock lock(&watchers_.mu_);
      std::list<std::function<void()>>& wakes = watchers_.wakes_[id_];
      place_ = wakes.insert(wakes.end(), std::move(wake));
    }
    ~Subscription() {
      absl::MutexLock lock(&watchers_.mu_);
      std::list<std::function<void()>>& wakes = watchers_.wakes_[id_];
      wakes.erase(place_);
      if (wakes.empty()) watchers_.wakes_.erase(id_);
    }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    BuildWatchers& watchers_;
    const std::string id_;
    std::list<std::function<void()>>::iterator place_;
  };

  void Wake(const std::string& id) {
    absl::MutexLock lock(&mu_);
    auto found = wakes_.find(id);
    if (found == wakes_.end()) return;
    for (const std::function<void()>& wake : found->second) wake();
  }

 private:
  absl::Mutex mu_;
  std::map<std::string, std::list<std::function<void()>>> wakes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::builder
