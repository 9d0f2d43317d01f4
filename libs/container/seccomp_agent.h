// A filter's notifications go to another program, the agent: it gets their fd at linux.seccomp's
// listenerPath, with OCI's container process state.
#pragma once

#include <sys/types.h>

#include "absl/status/status.h"
#include "libs/container/hooks.h"
#include "libs/linux/seccomp/seccomp_profile.h"

namespace darse::container {

// Before a start: INVALID_ARGUMENT if the profile notifies of calls that the process needs to hand
// the fd over with, or names no agent.
absl::Status CheckNotifications(const seccomp::Profile& profile);

// UNAVAILABLE if nobody listens there.
absl::Status SendListener(const seccomp::Profile& profile, const HookState& state, pid_t pid,
                          int listener);

}  // namespace darse::container
