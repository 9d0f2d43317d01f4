// Runs a stream's body on the executor's or gRPC's threads, never twice at a time, again whenever
// it was woken.
#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace darse::rpc {

// What a source did: filled a message that is to be written, or that is the last one; had nothing
// (it will be called again after Wake()); is at its end.
enum class Next { kWrite, kWriteLast, kWait, kEnd };

// Thread-safe.
class Pump {
 public:
  // What the body left behind: an operation whose completion calls Again(), or nothing to do until
  // somebody calls Wake().
  enum class Left { kOperation, kNothing };

  explicit Pump(std::function<Left()> body) : body_(std::move(body)) {}
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  // Runs the body soon, on another thread; while an operation is outstanding, after it.
  void Wake();
  // The operation is complete: runs the body here.
  void Again();
  // The body is not run any more; `last` runs when it no longer runs, here or on its thread, and
  // may delete the pump.
  void Stop(std::function<void()> last);

 private:
  enum class State { kIdle, kQueued, kRunning, kOperation };
  void Run();

  const std::function<Left()> body_;
  absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kIdle;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool again_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void()> last_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::rpc
