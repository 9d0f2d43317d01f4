// States of a build and which may follow which. Nobody else compares states to decide what is
// allowed.
//
//   QUEUED ─► RUNNING ◄─► WAITING        any of these ─► SUCCEEDED, FAILED or CANCELED, for good
//      ▲─────────┴───────────┘  (only at a restart of the builder)
#pragma once

#include "absl/strings/string_view.h"

namespace darse::builder {

// Numbers as in the proto and in the database.
enum class BuildState {
  kQueued = 1,
  kWaiting = 2,
  kRunning = 3,
  kSucceeded = 4,
  kFailed = 5,
  kCanceled = 6,
};

constexpr bool HasEnded(BuildState state) {
  return state == BuildState::kSucceeded || state == BuildState::kFailed ||
         state == BuildState::kCanceled;
}

constexpr bool MayFollow(BuildState from, BuildState to) {
  if (HasEnded(from)) return false;
  return to != BuildState::kQueued || from != BuildState::kQueued;
}

}  // namespace darse::builder
