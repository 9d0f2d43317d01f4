// For what nobody waits for.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

namespace darse {

// The calling thread runs behind all others (nice 19) while this lives. Without the right to come
// back from there it does nothing.
class LowPriority {
 public:
  LowPriority() : before_(getpriority(PRIO_PROCESS, 0)), lowered_(geteuid() == 0) {
    if (lowered_) setpriority(PRIO_PROCESS, 0, 19);
  }
  ~LowPriority() {
    if (lowered_) setpriority(PRIO_PROCESS, 0, before_);
  }
  LowPriority(const LowPriority&) = delete;
  LowPriority& operator=(const LowPriority&) = delete;

 private:
  const int before_;
  const bool lowered_;
};

}  // namespace darse
