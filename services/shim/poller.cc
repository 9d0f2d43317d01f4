#include "services/shim/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include "libs/base/syscall_error.h"

namespace darse::shim {

int64_t WallNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

absl::Status Poller::Open() {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return SyscallError(errno, "epoll_create1");
  return absl::OkStatus();
}

bool Poller::Add(int fd, uint32_t events, Handler handler) {
  epoll_event event = {.events = events, .data = {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return false;
  handlers_[fd] = std::make_shared<Handler>(std::move(handler));
  return true;
}

void Poller::Change(int fd, uint32_t events) {
  epoll_event event = {.events = events, .data = {.fd = fd}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::Remove(int fd) {
  if (handlers_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

bool Poller::Once(int timeout_ms) {
  epoll_event event;
  if (epoll_wait(epoll_.get(), &event, 1, timeout_ms) <= 0) return false;
  auto found = handlers_.find(event.data.fd);
  if (found == handlers_.end()) return true;
  std::shared_ptr<Handler> handler = found->second;
  (*handler)(event.events);
  return true;
}

}  // namespace darse::shim
