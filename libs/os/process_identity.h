// A pid together with the start time of its process: a pid alone may have been given to another.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/unique_fd.h"

namespace darse {

struct ProcessIdentity {
  pid_t pid = 0;
  // Clock ticks after boot, as in field 22 of /proc/<pid>/stat.
  uint64_t start_time = 0;

  bool operator==(const ProcessIdentity&) const = default;
};

// NOT_FOUND if there is no such process or it is a zombie.
absl::StatusOr<ProcessIdentity> IdentifyProcess(pid_t pid);
// True if that very process still runs.
bool IsAlive(const ProcessIdentity& process);
// A pidfd of that very process; NOT_FOUND if it is gone.
absl::StatusOr<UniqueFd> OpenProcess(const ProcessIdentity& process);
// Signals that very process; NOT_FOUND if it is gone.
absl::Status KillProcess(const ProcessIdentity& process, int signal);

// "<pid> <start time>\n", as in shim.pid.
std::string FormatIdentity(const ProcessIdentity& process);
absl::StatusOr<ProcessIdentity> ParseIdentity(absl::string_view text);
absl::Status WriteIdentityFile(absl::string_view path, const ProcessIdentity& process);
absl::StatusOr<ProcessIdentity> ReadIdentityFile(absl::string_view path);

// A service's own pid as a decimal line, for `kill $(cat …)`; one service is kept from running
// twice by the lock of its database, not by this file.
absl::Status WriteOwnPidFile(absl::string_view path);

}  // namespace darse
