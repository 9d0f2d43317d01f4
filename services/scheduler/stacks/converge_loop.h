// Keeps all stacks on their way: makes a plan for each, takes the steps that nothing blocks, and
// looks again when a step is done, something happened at the runtime, a peer came back, or a
// back-off has passed.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/scheduler/stacks/converge_engine.h"

namespace darse::scheduler {

struct ConvergeOptions {
  // Steps taken at a time, over all stacks.
  int max_steps = 8;
  // Builds among them.
  int max_builds = 2;
  absl::Duration first_backoff = absl::Seconds(1);
  absl::Duration longest_backoff = absl::Minutes(1);
};

// Owns one thread, and one for each step under way. Wake and Forgive are thread-safe.
class ConvergeLoop {
 public:
  ConvergeLoop(StackBook& book, StackBoard& board, Survey& survey, ConvergeEngine& engine,
               Clock& clock, const ConvergeOptions& options);
  // Waits for steps under way: cancel the peers first.
  ~ConvergeLoop();

  void Start();
  // Something may have changed.
  void Wake();
  // Steps of this stack that failed are tried again at once.
  void Forgive(const std::string& stack);
  // Makes the plan, shows it on the board, and answers it.
  Plan Look(const std::string& stack, const DesiredStack& desired);

 private:
  using Key = std::pair<std::string, std::string>;  // stack, step's key

  void Run();
  void TendAll();
  void Tend(const std::string& stack);
  // Steps finished so far.
  uint64_t Finished();
  // Marks the step as under way, unless there is no room for it, it waits after a failure, or a
  // step was finished since `finished` was read.
  bool Admit(const std::string& stack, const Step& step, uint64_t finished);
  void Take(const std::string& stack, const Step& step);
  void Finish(const std::string& stack, const Step& step, const absl::Status& status);
  std::set<std::string> InFlight(const std::string& stack);
  std::map<std::string, Failure> FailuresOf(const std::string& stack);

  StackBook& book_;
  StackBoard& board_;
  Survey& survey_;
  ConvergeEngine& engine_;
  Clock& clock_;
  const ConvergeOptions options_;

  absl::Mutex mu_;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::map<Key, bool> in_flight_ ABSL_GUARDED_BY(mu_);  // -> is a build
  std::map<Key, Failure> failures_ ABSL_GUARDED_BY(mu_);
  uint64_t finished_ ABSL_GUARDED_BY(mu_) = 0;
  std::thread thread_;
};

}  // namespace darse::scheduler
