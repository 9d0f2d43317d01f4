#include "libs/rpc/executor.h"

#include <thread>
#include <utility>

namespace darse::rpc {

Executor& Executor::Process() {
  static Executor* const kExecutor = new Executor;
  return *kExecutor;
}

void Executor::Run(std::function<void()> work) {
  absl::MutexLock lock(&mu_);
  work_.push_back(std::move(work));
  // Those that are idle may have been promised to work that waits already.
  if (work_.size() <= static_cast<size_t>(idle_) || threads_ == kMostThreads) return;
  ++threads_;
  std::thread([this] { Serve(); }).detach();
}

void Executor::Serve() {
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mu_);
      ++idle_;
      mu_.Await(absl::Condition(
          +[](std::deque<std::function<void()>>* queue) { return !queue->empty(); }, &work_));
      --idle_;
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
}

}  // namespace darse::rpc
