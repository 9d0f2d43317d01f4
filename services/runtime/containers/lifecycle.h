// The one place that says which verb is legal in which state of a container, and where it leads.
//
//              start            died
//   created ─────────► running ─────────► exited ──start──► running
//                       │  ▲   backed off   ▲
//                 pause │  │ unpause        │ died
//                       ▼  │                │
//                      paused          restarting ──respawned──► running
//
// created, exited ──remove──► removing ──► (gone)
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::runtime {

// Stored as numbers; never renumber.
enum class ContainerState {
  kCreated = 1,
  kRunning = 2,
  kPaused = 3,
  // Exited; the shim waits for the back-off to pass.
  kRestarting = 4,
  kExited = 5,
  kRemoving = 6,
};

enum class Verb {
  kStart,
  kPause,
  kUnpause,
  kSignal,
  kExec,
  kUpdate,
  kRemove,
  // What the shim reports: the process is gone for good; gone, and to be started again; started
  // again.
  kDied,
  kBackedOff,
  kRespawned,
};

// FAILED_PRECONDITION, with what to do about it, if `verb` is illegal in `from`.
absl::StatusOr<ContainerState> Next(ContainerState from, Verb verb);

// True while a shim holds the container.
bool IsLive(ContainerState state);

// "running", as in Docker's words.
absl::string_view StateName(ContainerState state);

}  // namespace darse::runtime
