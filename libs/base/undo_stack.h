// Undo steps for a multi-step setup. Steps run newest first unless Commit() was called.
// A step holds copies, or references that outlive the stack; never `this` of something movable.
#pragma once

#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace darse {

// One thread only.
class UndoStack {
 public:
  UndoStack() = default;
  UndoStack(const UndoStack&) = delete;
  UndoStack& operator=(const UndoStack&) = delete;
  ~UndoStack() {
    while (!steps_.empty()) {
      absl::AnyInvocable<void()> step = std::move(steps_.back());
      steps_.pop_back();
      step();
    }
  }

  void Push(absl::AnyInvocable<void()> step) { steps_.push_back(std::move(step)); }
  // Everything done so far stays.
  void Commit() { steps_.clear(); }

 private:
  std::vector<absl::AnyInvocable<void()>> steps_;
};

}  // namespace darse
