#include "libs/rpc/pump.h"

#include <utility>

#include "libs/rpc/executor.h"

namespace darse::rpc {

void Pump::Wake() {
  {
    absl::MutexLock lock(&mu_);
    if (stopped_) return;
    woken_ = true;
    if (state_ != State::kIdle) return;
    // From here on Stop() leaves the end to Run().
    state_ = State::kQueued;
  }
  // Without the lock: the other thread takes it first of all.
  Executor::Process().Run([this] { Run(); });
}

void Pump::Again() {
  {
    absl::MutexLock lock(&mu_);
    if (state_ != State::kOperation) {
      // The operation was complete before the body came back from starting it.
      again_ = true;
      return;
    }
    state_ = State::kQueued;
  }
  Run();
}

void Pump::Run() {
  mu_.Lock();
  state_ = State::kRunning;
  while (!stopped_) {
    woken_ = false;
    again_ = false;
    mu_.Unlock();
    Left left = body_();
    mu_.Lock();
    if (stopped_) break;
    if (left == Left::kOperation && !again_) {
      state_ = State::kOperation;
      mu_.Unlock();
      return;
    }
    if (left == Left::kNothing && !woken_) {
      state_ = State::kIdle;
      mu_.Unlock();
      return;
    }
  }
  std::function<void()> last = std::move(last_);
  mu_.Unlock();
  // May delete this.
  last();
}

void Pump::Stop(std::function<void()> last) {
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    if (state_ == State::kRunning || state_ == State::kQueued) {
      last_ = std::move(last);
      return;
    }
  }
  last();
}

}  // namespace darse::rpc
