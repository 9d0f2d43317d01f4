// epoll with one function an fd. One event is handled at a time, so a handler may remove any fd.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "libs/base/unique_fd.h"

namespace darse::shim {

// One thread only.
class Poller {
 public:
  using Handler = std::function<void(uint32_t events)>;

  absl::Status Open();
  // False for an fd that cannot be waited for (a plain file). EPOLLERR and EPOLLHUP always come.
  bool Add(int fd, uint32_t events, Handler handler);
  void Change(int fd, uint32_t events);
  void Remove(int fd);
  // Waits at most `timeout_ms` (-1: for ever) and handles at most one event. False: none came.
  bool Once(int timeout_ms);

 private:
  UniqueFd epoll_;
  std::map<int, std::shared_ptr<Handler>> handlers_;
};

int64_t WallNs();

}  // namespace darse::shim
