#include "services/scheduler/stacks/converge_loop.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/reason.h"

namespace darse::scheduler {
namespace {

// Peers tell when they come back; this is for what nobody tells, such as a port that another
// program gave back.
constexpr absl::Duration kLongestSleep = absl::Seconds(30);

}  // namespace

ConvergeLoop::ConvergeLoop(StackBook& book, StackBoard& board, Survey& survey,
                           ConvergeEngine& engine, Clock& clock, const ConvergeOptions& options)
    : book_(book),
      board_(board),
      survey_(survey),
      engine_(engine),
      clock_(clock),
      options_(options) {}

ConvergeLoop::~ConvergeLoop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](std::map<Key, bool>* in_flight) { return in_flight->empty(); }, &in_flight_));
}

void ConvergeLoop::Start() {
  Wake();
  thread_ = std::thread([this] { Run(); });
}

void ConvergeLoop::Wake() {
  absl::MutexLock lock(&mu_);
  woken_ = true;
}

void ConvergeLoop::Forgive(const std::string& stack) {
  absl::MutexLock lock(&mu_);
  std::erase_if(failures_, [&](const auto& failure) { return failure.first.first == stack; });
  woken_ = true;
}

void ConvergeLoop::Run() {
  for (;;) {
    {
      absl::MutexLock lock(&mu_);
      absl::Duration sleep = kLongestSleep;
      for (const auto& [key, failure] : failures_) {
        const absl::Duration left = failure.next_try - clock_.Now();
        if (left > absl::ZeroDuration()) sleep = std::min(sleep, left);
      }
      mu_.AwaitWithTimeout(absl::Condition(
                               +[](ConvergeLoop* loop) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                                 return loop->woken_ || loop->stopping_;
                               },
                               this),
                           sleep);
      if (stopping_) return;
      woken_ = false;
    }
    TendAll();
  }
}

void ConvergeLoop::TendAll() {
  for (const auto& [name, stack] : book_.All()) Tend(name);
}

std::set<std::string> ConvergeLoop::InFlight(const std::string& stack) {
  absl::MutexLock lock(&mu_);
  std::set<std::string> keys;
  for (const auto& [key, is_build] : in_flight_) {
    if (key.first == stack) keys.insert(key.second);
  }
  return keys;
}

std::map<std::string, Failure> ConvergeLoop::FailuresOf(const std::string& stack) {
  absl::MutexLock lock(&mu_);
  std::map<std::string, Failure> failures;
  for (const auto& [key, failure] : failures_) {
    if (key.first == stack) failures[key.second] = failure;
  }
  return failures;
}

Plan ConvergeLoop::Look(const std::string& stack, const DesiredStack& desired) {
  Plan plan = survey_.PlanFor(desired);
  board_.Set(stack, plan, StandingOf(plan, desired.removing, InFlight(stack), FailuresOf(stack)));
  return plan;
}

void ConvergeLoop::Tend(const std::string& stack) {
  if (absl::Status pinned = engine_.PinImages(stack); !pinned.ok()) {
    Log(LogLevel::kWarning, "images not recorded",
        {{"stack", stack}, {"why", std::string(pinned.message())}});
  }
  const StackPtr desired = book_.Find(stack);
  if (desired == nullptr) return;
  const uint64_t finished = Finished();
  const Plan plan = survey_.PlanFor(*desired);
  if (plan.gone && InFlight(stack).empty()) {
    // A new `up` in the meantime has cleared the mark.
    const StackPtr now = book_.Find(stack);
    if (now == nullptr || !now->removing) return;
    if (absl::Status removed = book_.Remove(stack); !removed.ok()) {
      Log(LogLevel::kError, "stack not forgotten",
          {{"stack", stack}, {"why", std::string(removed.message())}});
      return;
    }
    Log(LogLevel::kInfo, "stack removed", {{"stack", stack}});
    board_.Remove(stack);
    return;
  }
  for (const Step& step : plan.steps) {
    if (step.block == Block::kNone && Admit(stack, step, finished)) {
      std::thread([this, stack, step] { Take(stack, step); }).detach();
    }
  }
  board_.Set(stack, plan, StandingOf(plan, desired->removing, InFlight(stack), FailuresOf(stack)));
}

uint64_t ConvergeLoop::Finished() {
  absl::MutexLock lock(&mu_);
  return finished_;
}

bool ConvergeLoop::Admit(const std::string& stack, const Step& step, uint64_t finished) {
  absl::MutexLock lock(&mu_);
  // What was done since the plan was made may be what the plan asks for; there will be a newer one.
  if (finished != finished_) return false;
  const Key key{stack, step.key};
  const bool is_build = step.action == v1::PlanStep::BUILD_IMAGE;
  const auto builds = std::count_if(in_flight_.begin(), in_flight_.end(),
                                    [](const auto& one) { return one.second; });
  if (stopping_ || in_flight_.contains(key) ||
      static_cast<int>(in_flight_.size()) >= options_.max_steps)
    return false;
  if (is_build && builds >= options_.max_builds) return false;
  const auto failure = failures_.find(key);
  if (failure != failures_.end() && failure->second.next_try > clock_.Now()) return false;
  in_flight_[key] = is_build;
  return true;
}

void ConvergeLoop::Take(const std::string& stack, const Step& step) {
  const absl::Status status = engine_.Take(stack, step);
  Finish(stack, step, status);
}

void ConvergeLoop::Finish(const std::string& stack, const Step& step, const absl::Status& status) {
  const char* name = v1::PlanStep::Action_Name(step.action).c_str();
  if (status.ok()) {
    Log(LogLevel::kInfo, "step taken",
        {{"stack", stack}, {"step", name}, {"name", step.name}, {"reason", step.reason}});
  } else {
    Log(LogLevel::kWarning, "step failed",
        {{"stack", stack},
         {"step", name},
         {"name", step.name},
         {"why", std::string(status.message())}});
    board_.Tell(stack, std::string(status.message()));
  }
  absl::MutexLock lock(&mu_);
  const Key key{stack, step.key};
  if (status.ok()) {
    failures_.erase(key);
  } else {
    Failure& failure = failures_[key];
    absl::Duration wait = options_.first_backoff * (1 << std::min(failure.count, 10));
    ++failure.count;
    // A peer that went away is waited for, not blamed.
    if (absl::IsUnavailable(status)) wait = options_.first_backoff;
    failure.next_try = clock_.Now() + std::min(wait, options_.longest_backoff);
    failure.message = std::string(status.message());
    failure.peer_went = absl::IsUnavailable(status);
  }
  in_flight_.erase(key);
  ++finished_;
  woken_ = true;
}

}  // namespace darse::scheduler
