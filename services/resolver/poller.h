// epoll with a function a descriptor. One thread only.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/base/unique_fd.h"

namespace darse::resolver {

class Poller {
 public:
  using Handler = std::function<void(uint32_t events)>;

  Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

  // The key stays unique though descriptor numbers are used again: an event for something that was
  // removed a moment ago finds nobody.
  uint64_t Add(int fd, uint32_t events, Handler handler) {
    const uint64_t key = ++last_key_;
    handlers_[key] = {fd, std::make_shared<Handler>(std::move(handler))};
    epoll_event event{.events = events, .data = {.u64 = key}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
    return key;
  }
  void Change(uint64_t key, uint32_t events) {
    auto there = handlers_.find(key);
    if (there == handlers_.end()) return;
    epoll_event event{.events = events, .data = {.u64 = key}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, there->second.fd, &event);
  }
  // Before the descriptor is closed.
  void Remove(uint64_t key) {
    auto there = handlers_.find(key);
    if (there == handlers_.end()) return;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, there->second.fd, nullptr);
    handlers_.erase(there);
  }

  // Waits at most `timeout` and calls the handlers of what is ready.
  void Wait(absl::Duration timeout) {
    epoll_event events[64];
    const int64_t milliseconds =
        timeout == absl::InfiniteDuration() ? -1 : absl::ToInt64Milliseconds(timeout) + 1;
    const int count = epoll_wait(epoll_.get(), events, 64, static_cast<int>(milliseconds));
    for (int i = 0; i < count; ++i) {
      auto there = handlers_.find(events[i].data.u64);
      if (there == handlers_.end()) continue;
      // Keeps the function alive while it runs: it may remove itself.
      const std::shared_ptr<Handler> handler = there->second.handler;
      (*handler)(events[i].events);
    }
  }

 private:
  struct Entry {
    int fd;
    std::shared_ptr<Handler> handler;
  };
  UniqueFd epoll_;
  uint64_t last_key_ = 0;
  std::map<uint64_t, Entry> handlers_;
};

}  // namespace darse::resolver
