#include "services/runtime/shims/io_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

namespace darse::runtime {

IoLoop::IoLoop(Clock& clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  thread_ = std::thread([this] { Run(); });
}

IoLoop::~IoLoop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  Poke();
  thread_.join();
}

uint64_t IoLoop::Add(int fd, std::function<void()> ready) {
  absl::MutexLock lock(&mu_);
  uint64_t key = next_++;
  entries_[key] = std::make_shared<Entry>(Entry{fd, std::move(ready)});
  // Nothing is reported before Arm(), but a hang-up is: one shot keeps it from coming back.
  epoll_event event{.events = EPOLLONESHOT, .data = {.u64 = key}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  return key;
}

void IoLoop::Arm(uint64_t key, uint32_t events) {
  absl::MutexLock lock(&mu_);
  auto found = entries_.find(key);
  if (found == entries_.end()) return;
  epoll_event event{.events = events | EPOLLONESHOT, .data = {.u64 = key}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second->fd, &event);
}

void IoLoop::Remove(uint64_t key) {
  absl::MutexLock lock(&mu_);
  auto found = entries_.find(key);
  if (found == entries_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->fd, nullptr);
  entries_.erase(found);
  if (std::this_thread::get_id() == thread_.get_id()) return;
  auto idle = [this, key]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return IdleOf(key); };
  mu_.Await(absl::Condition(&idle));
}

void IoLoop::Forget(uint64_t key) {
  absl::MutexLock lock(&mu_);
  auto found = entries_.find(key);
  if (found == entries_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->fd, nullptr);
  entries_.erase(found);
}

void IoLoop::After(absl::Duration delay, std::function<void()> act) {
  {
    absl::MutexLock lock(&mu_);
    timers_.emplace(clock_.Now() + delay, std::move(act));
  }
  Poke();
}

void IoLoop::Poke() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_.get(), &one, sizeof(one));
}

// Answers the milliseconds until the next timer; -1: there is none.
int IoLoop::RunTimers() {
  while (true) {
    std::function<void()> act;
    {
      absl::MutexLock lock(&mu_);
      if (timers_.empty()) return -1;
      absl::Duration left = timers_.begin()->first - clock_.Now();
      if (left > absl::ZeroDuration()) {
        return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 60'000));
      }
      act = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
    }
    act();
  }
}

void IoLoop::Run() {
  epoll_event events[64];
  while (true) {
    int timeout = RunTimers();
    int count = epoll_wait(epoll_.get(), events, 64, timeout);
    for (int i = 0; i < count; ++i) {
      uint64_t key = events[i].data.u64;
      if (key == 0) {
        uint64_t drained;
        [[maybe_unused]] ssize_t got = read(wake_.get(), &drained, sizeof(drained));
        continue;
      }
      std::shared_ptr<Entry> entry;
      {
        absl::MutexLock lock(&mu_);
        auto found = entries_.find(key);
        if (found == entries_.end()) continue;
        entry = found->second;
        running_ = key;
      }
      entry->ready();
      // What the entry holds may call Remove() of others when it goes: not under the lock.
      absl::MutexLock lock(&mu_);
      running_ = 0;
    }
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
  }
}

}  // namespace darse::runtime
