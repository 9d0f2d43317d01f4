// Who waits for a change of a container, and a pool that does things for containers one after
// another each.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace darse::runtime {

// Thread-safe. Must outlive its subscriptions.
class ChangeHub {
 public:
  class Subscription {
   public:
    Subscription(ChangeHub& hub, uint64_t key) : hub_(hub), key_(key) {}
    ~Subscription() { hub_.Drop(key_); }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    ChangeHub& hub_;
    const uint64_t key_;
  };

  // `wake` is called after each change of the container (empty: of any), on any thread; must not
  // block or call the hub.
  std::unique_ptr<Subscription> Subscribe(std::string id, std::function<void()> wake);
  void Notify(const std::string& id);

 private:
  struct Waiter {
    std::string id;
    std::function<void()> wake;
  };
  void Drop(uint64_t key);

  absl::Mutex mu_;
  uint64_t next_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<uint64_t, Waiter> waiters_ ABSL_GUARDED_BY(mu_);
};

// One holder at a time for each key. Thread-safe.
class KeyedLocks {
 public:
  class Hold {
   public:
    explicit Hold(std::shared_ptr<absl::Mutex> mu);
    ~Hold();
    Hold(Hold&& other) noexcept : mu_(std::move(other.mu_)) {}
    Hold& operator=(Hold&&) = delete;

   private:
    std::shared_ptr<absl::Mutex> mu_;
  };
  // Blocks until nobody else holds it.
  Hold Lock(const std::string& key);

 private:
  absl::Mutex mu_;
  std::map<std::string, std::weak_ptr<absl::Mutex>> locks_ ABSL_GUARDED_BY(mu_);
};

// Thread-safe. What was posted is done before the pool is destroyed.
class SerialPool {
 public:
  explicit SerialPool(int threads);
  ~SerialPool();

  // Runs `work` on a thread of the pool, after everything posted earlier for the same key.
  void Post(const std::string& key, absl::AnyInvocable<void()> work);
  // Finishes what was posted; what is posted from now on is dropped.
  void Stop();

 private:
  void Run();

  absl::Mutex mu_;
  std::map<std::string, std::deque<absl::AnyInvocable<void()>>> queues_ ABSL_GUARDED_BY(mu_);
  // Keys with work that no thread is busy with.
  std::deque<std::string> ready_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace darse::runtime
