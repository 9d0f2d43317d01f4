#include "services/scheduler/stacks/stack_board.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace darse::scheduler {
namespace {

constexpr size_t kKeptSentences = 2000;

bool SamePlan(const Plan& a, const Plan& b) {
  if (a.steps.size() != b.steps.size() || a.tasks.size() != b.tasks.size() || a.gone != b.gone)
    return false;
  for (size_t i = 0; i < a.steps.size(); ++i) {
    if (a.steps[i].key != b.steps[i].key || a.steps[i].action != b.steps[i].action ||
        a.steps[i].waiting != b.steps[i].waiting || a.steps[i].reason != b.steps[i].reason) {
      return false;
    }
  }
  for (size_t i = 0; i < a.tasks.size(); ++i) {
    if (a.tasks[i].view.state != b.tasks[i].view.state ||
        a.tasks[i].container_id != b.tasks[i].container_id) {
      return false;
    }
  }
  return true;
}

}  // namespace

Standing StandingOf(const Plan& plan, bool removing, const std::set<std::string>& in_flight,
                    const std::map<std::string, Failure>& failures) {
  // A step under way whose peer went missing meanwhile does not move: its call may hang for long.
  const auto hangs = [&](const std::string& key) {
    return std::any_of(plan.steps.begin(), plan.steps.end(), [&](const Step& step) {
      return step.key == key && step.block == Block::kPeer;
    });
  };
  bool moving = !std::all_of(in_flight.begin(), in_flight.end(), hangs);
  std::string failed;
  std::string waiting;
  for (const Step& step : plan.steps) {
    const auto failure = failures.find(step.key);
    if (failure != failures.end() && step.block == Block::kNone && !in_flight.contains(step.key)) {
      std::string& said = failure->second.peer_went ? waiting : failed;
      if (said.empty()) said = failure->second.message;
      continue;
    }
    switch (step.block) {
      case Block::kNone:
        moving = true;
        break;
      case Block::kFailed:
        if (failed.empty()) failed = step.waiting;
        break;
      case Block::kCondition:
      case Block::kPeer:
        if (waiting.empty()) waiting = absl::StrCat(step.waiting, ": ", step.name);
        break;
      case Block::kOrder:
        break;
    }
  }
  Standing standing;
  standing.message = !failed.empty() ? failed : waiting;
  if (removing) {
    standing.state = v1::STACK_STATE_REMOVING;
  } else if (plan.steps.empty() && in_flight.empty()) {
    standing.state = v1::STACK_STATE_READY;
    for (const TaskPlan& task : plan.tasks) {
      if (task.view.state == v1::TASK_STATE_FAILED && standing.message.empty()) {
        standing.message = absl::StrCat(task.slot.first, " ", task.view.reason);
      }
    }
  } else if (moving) {
    standing.state = v1::STACK_STATE_CONVERGING;
  } else if (!failed.empty()) {
    standing.state = v1::STACK_STATE_FAILED;
  } else {
    standing.state = waiting.empty() ? v1::STACK_STATE_CONVERGING : v1::STACK_STATE_WAITING;
  }
  return standing;
}

void StackBoard::Set(const std::string& stack, Plan plan, Standing standing) {
  {
    absl::MutexLock lock(&mu_);
    BoardEntry& entry = entries_[stack];
    if (entry.version != 0 && SamePlan(entry.plan, plan) &&
        entry.standing.state == standing.state && entry.standing.message == standing.message) {
      return;
    }
    entry.plan = std::move(plan);
    entry.standing = std::move(standing);
    ++entry.version;
  }
  Wake();
}

void StackBoard::Remove(const std::string& stack) {
  {
    absl::MutexLock lock(&mu_);
    entries_.erase(stack);
  }
  Wake();
}

BoardEntry StackBoard::Get(const std::string& stack) const {
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(stack);
  return found == entries_.end() ? BoardEntry{} : found->second;
}

std::map<std::string, BoardEntry> StackBoard::All() const {
  absl::MutexLock lock(&mu_);
  return entries_;
}

void StackBoard::Tell(const std::string& stack, std::string sentence) {
  {
    absl::MutexLock lock(&mu_);
    sentences_.push_back({++sequence_, stack, std::move(sentence)});
    if (sentences_.size() > kKeptSentences) sentences_.pop_front();
  }
  Wake();
}

void StackBoard::Touch() { Wake(); }

StackBoard::News StackBoard::Since(const std::string& stack, uint64_t sequence) const {
  absl::MutexLock lock(&mu_);
  News news{.sequence = sequence_};
  for (const Sentence& sentence : sentences_) {
    if (sentence.sequence > sequence && sentence.stack == stack)
      news.sentences.push_back(sentence.text);
  }
  return news;
}

uint64_t StackBoard::NewestSequence() const {
  absl::MutexLock lock(&mu_);
  return sequence_;
}

StackBoard::Handle StackBoard::Subscribe(std::function<void()> wake) {
  absl::MutexLock lock(&waking_);
  const auto place = wakes_->insert(wakes_->end(), std::move(wake));
  return Handle(nullptr, [this, place](void*) {
    absl::MutexLock inner(&waking_);
    wakes_->erase(place);
  });
}

void StackBoard::Wake() {
  absl::MutexLock lock(&waking_);
  for (const std::function<void()>& wake : *wakes_) wake();
}

}  // namespace darse::scheduler
