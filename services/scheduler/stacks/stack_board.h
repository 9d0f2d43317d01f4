// What became of each stack, for those who watch: the newest plan, the state that follows from it,
// and sentences about the steps taken.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/scheduler/stacks/plan.h"

namespace darse::scheduler {

// A step that failed and is tried again later.
struct Failure {
  int count = 0;
  absl::Time next_try;
  std::string message;
  // A peer went away in the middle: that is waited for, not blamed.
  bool peer_went = false;
};

struct Standing {
  v1::StackState state = v1::STACK_STATE_CONVERGING;
  std::string message;
};

// The state of a stack with this plan; `in_flight` are keys of steps being taken, `failures` by
// key. Pure.
Standing StandingOf(const Plan& plan, bool removing, const std::set<std::string>& in_flight,
                    const std::map<std::string, Failure>& failures);

struct BoardEntry {
  Plan plan;
  Standing standing;
  // Grows with each change.
  uint64_t version = 0;
};

// Thread-safe.
class StackBoard {
 public:
  void Set(const std::string& stack, Plan plan, Standing standing);
  void Remove(const std::string& stack);
  BoardEntry Get(const std::string& stack) const;
  // By stack.
  std::map<std::string, BoardEntry> All() const;
  // "container web-1 started".
  void Tell(const std::string& stack, std::string sentence);
  // Something changed that is not on the board (a container's record).
  void Touch();

  struct News {
    // Of the newest sentence.
    uint64_t sequence = 0;
    std::vector<std::string> sentences;
  };
  // Sentences after `sequence`; as many as are kept.
  News Since(const std::string& stack, uint64_t sequence) const;
  // Of the newest sentence there is.
  uint64_t NewestSequence() const;

  // Calls `wake` after each change until the handle is destroyed; it must neither block nor come
  // back.
  using Handle = std::shared_ptr<void>;
  Handle Subscribe(std::function<void()> wake);

 private:
  struct Sentence {
    uint64_t sequence;
    std::string stack;
    std::string text;
  };
  void Wake();

  mutable absl::Mutex mu_;
  std::map<std::string, BoardEntry> entries_ ABSL_GUARDED_BY(mu_);
  std::deque<Sentence> sentences_ ABSL_GUARDED_BY(mu_);
  uint64_t sequence_ ABSL_GUARDED_BY(mu_) = 0;
  // Held while waking, so that a handle that is gone is woken no more.
  absl::Mutex waking_;
  std::shared_ptr<std::list<std::function<void()>>> wakes_ ABSL_GUARDED_BY(waking_) =
      std::make_shared<std::list<std::function<void()>>>();
};

}  // namespace darse::scheduler
