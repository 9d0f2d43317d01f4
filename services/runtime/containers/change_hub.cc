#include "services/runtime/containers/change_hub.h"

#include <utility>

namespace darse::runtime {

std::unique_ptr<ChangeHub::Subscription> ChangeHub::Subscribe(std::string id,
                                                              std::function<void()> wake) {
  absl::MutexLock lock(&mu_);
  uint64_t key = next_++;
  waiters_[key] = {std::move(id), std::move(wake)};
  return std::make_unique<Subscription>(*this, key);
}

void ChangeHub::Notify(const std::string& id) {
  absl::MutexLock lock(&mu_);
  for (const auto& [key, waiter] : waiters_) {
    if (waiter.id.empty() || waiter.id == id) waiter.wake();
  }
}

void ChangeHub::Drop(uint64_t key) {
  absl::MutexLock lock(&mu_);
  waiters_.erase(key);
}

KeyedLocks::Hold::Hold(std::shared_ptr<absl::Mutex> mu) ABSL_NO_THREAD_SAFETY_ANALYSIS
    : mu_(std::move(mu)) {
  mu_->Lock();
}

KeyedLocks::Hold::~Hold() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (mu_ != nullptr) mu_->Unlock();
}

KeyedLocks::Hold KeyedLocks::Lock(const std::string& key) {
  std::shared_ptr<absl::Mutex> mine;
  {
    absl::MutexLock lock(&mu_);
    // Those that nobody holds any more are swept now and then.
    if (locks_.size() > 1000) {
      for (auto it = locks_.begin(); it != locks_.end();) {
        it = it->second.expired() ? locks_.erase(it) : std::next(it);
      }
    }
    std::weak_ptr<absl::Mutex>& slot = locks_[key];
    mine = slot.lock();
    if (mine == nullptr) {
      mine = std::make_shared<absl::Mutex>();
      slot = mine;
    }
  }
  return Hold(std::move(mine));
}

SerialPool::SerialPool(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

SerialPool::~SerialPool() { Stop(); }

void SerialPool::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void SerialPool::Post(const std::string& key, absl::AnyInvocable<void()> work) {
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  auto [found, fresh] = queues_.try_emplace(key);
  found->second.push_back(std::move(work));
  // Otherwise a thread is busy with this key, or it is waiting for one.
  if (fresh) ready_.push_back(key);
}

void SerialPool::Run() {
  while (true) {
    std::string key;
    absl::AnyInvocable<void()> work;
    {
      absl::MutexLock lock(&mu_);
      auto something = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return !ready_.empty() || (stopping_ && queues_.empty());
      };
      mu_.Await(absl::Condition(&something));
      if (ready_.empty()) return;
      key = std::move(ready_.front());
      ready_.pop_front();
      std::deque<absl::AnyInvocable<void()>>& queue = queues_[key];
      work = std::move(queue.front());
      queue.pop_front();
    }
    work();
    absl::MutexLock lock(&mu_);
    auto found = queues_.find(key);
    if (found->second.empty()) {
      queues_.erase(found);
    } else {
      ready_.push_back(key);
    }
  }
}

}  // namespace darse::runtime
