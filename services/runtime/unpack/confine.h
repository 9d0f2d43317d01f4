// Takes from this process everything that filling one directory does not need.
#pragma once

#include "absl/status/status.h"

namespace darse::runtime {

// Makes `directory` the root, keeps six capabilities (owners, modes, devices, file capabilities),
// forbids new privileges and every system call that unpacking does not make: no exec, no sockets,
// no mounts, no ptrace. One thread only, before others start.
absl::Status ConfineTo(int directory);

}  // namespace darse::runtime
