// Threads that streams run on. gRPC 1.51 has a way to get onto its own threads (an alarm that is
// due), but it leads over its timer's thread and costs a millisecond; this costs one switch.
#pragma once

#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace darse::rpc {

// Thread-safe.
class Executor {
 public:
  // Of this process, as gRPC's own; never destroyed.
  static Executor& Process();

  // On another thread, at once if fewer than kMostThreads are busy.
  void Run(std::function<void()> work);

 private:
  static constexpr int kMostThreads = 16;
  void Serve();

  absl::Mutex mu_;
  std::deque<std::function<void()>> work_ ABSL_GUARDED_BY(mu_);
  int threads_ ABSL_GUARDED_BY(mu_) = 0;
  int idle_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace darse::rpc
