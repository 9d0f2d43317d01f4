#include "services/runtime/containers/lifecycle.h"

#include <optional>

#include "absl/strings/str_cat.h"

namespace darse::runtime {
namespace {

using enum ContainerState;

struct Transition {
  ContainerState from;
  Verb verb;
  ContainerState to;
};

constexpr Transition kTransitions[] = {
    {kCreated, Verb::kStart, kRunning},
    {kExited, Verb::kStart, kRunning},

    {kRunning, Verb::kPause, kPaused},
    {kPaused, Verb::kUnpause, kRunning},

    {kRunning, Verb::kSignal, kRunning},
    {kRunning, Verb::kExec, kRunning},

    {kCreated, Verb::kUpdate, kCreated},
    {kRunning, Verb::kUpdate, kRunning},
    {kPaused, Verb::kUpdate, kPaused},
    {kRestarting, Verb::kUpdate, kRestarting},
    {kExited, Verb::kUpdate, kExited},

    {kCreated, Verb::kRemove, kRemoving},
    {kExited, Verb::kRemove, kRemoving},
    // After a crash in the middle.
    {kRemoving, Verb::kRemove, kRemoving},

    {kRunning, Verb::kDied, kExited},
    {kPaused, Verb::kDied, kExited},
    {kRestarting, Verb::kDied, kExited},

    {kRunning, Verb::kBackedOff, kRestarting},
    {kPaused, Verb::kBackedOff, kRestarting},
    {kRestarting, Verb::kBackedOff, kRestarting},

    {kRestarting, Verb::kRespawned, kRunning},
    // The exit between the two was collected from the journal.
    {kRunning, Verb::kRespawned, kRunning},
};

absl::string_view Why(ContainerState from, Verb verb) {
  switch (verb) {
    case Verb::kStart:
      if (from == kRemoving) return "it is being deleted";
      return from == kPaused ? "it is paused: unpause it instead" : "it is already running";
    case Verb::kPause:
      return from == kPaused ? "it is already paused" : "it is not running";
    case Verb::kUnpause:
      return "it is not paused";
    case Verb::kSignal:
    case Verb::kExec:
      return from == kPaused ? "it is paused: unpause it first" : "it is not running";
    case Verb::kUpdate:
      return "it is being deleted";
    case Verb::kRemove:
      return "it is running: stop it first, or force";
    case Verb::kDied:
    case Verb::kBackedOff:
    case Verb::kRespawned:
      return "no process of it was known";
  }
  return "not possible now";
}

}  // namespace

absl::StatusOr<ContainerState> Next(ContainerState from, Verb verb) {
  for (const Transition& transition : kTransitions) {
    if (transition.from == from && transition.verb == verb) return transition.to;
  }
  return absl::FailedPreconditionError(
      absl::StrCat(Why(from, verb), " (state: ", StateName(from), ")"));
}

bool IsLive(ContainerState state) {
  return state == kRunning || state == kPaused || state == kRestarting;
}

absl::string_view StateName(ContainerState state) {
  switch (state) {
    case kCreated:
      return "created";
    case kRunning:
      return "running";
    case kPaused:
      return "paused";
    case kRestarting:
      return "restarting";
    case kExited:
      return "exited";
    case kRemoving:
      return "removing";
  }
  return "unknown";
}

}  // namespace darse::runtime
