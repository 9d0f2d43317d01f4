// The caller's terminal in front of a container's.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace darse::ocitool {

// Hands a terminal's master to whoever listens on the unix socket at `path`.
absl::Status SendConsole(const std::string& path, int master);

// The exit of what becomes ours while we start it is not to be missed.
void HoldChildSignal();

// Signals that come from here on wait for Accompany: those for a process that is being started, and
// the news of its end. Returns which.
sigset_t HoldSignals();

// Copies between our stdio and `master` (-1: nothing to copy) and passes signals on, until the
// child `pid` ends. Its exit code, 128 + signal for a death by signal.
absl::StatusOr<int> Accompany(pid_t pid, int master);

}  // namespace darse::ocitool
