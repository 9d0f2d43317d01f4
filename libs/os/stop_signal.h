// SIGTERM and SIGINT as something to wait for. Make it in main before any thread starts, since the
// signals are blocked in the threads that come after.
#pragma once

#include <signal.h>

#include "absl/functional/function_ref.h"
#include "libs/base/unique_fd.h"

namespace darse {

class StopSignal {
 public:
  // Also ignores SIGPIPE.
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // Blocks until one of them comes and answers which.
  int Wait();
  // As Wait(), but calls `now_and_then` after a few seconds, and then once a minute.
  int Wait(absl::FunctionRef<void()> now_and_then);
  // Readable when one of them has come.
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace darse
