// Turns this process into the container's: from here on it has the limits, user, capabilities and
// filter of the config, and ends in execve. Runs inside the container's root.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/container/config/spec.h"
#include "libs/container/user_lookup.h"
#include "libs/linux/seccomp/seccomp_filter.h"

namespace darse::container {

// Groups, group and user, real, effective and saved.
absl::Status BecomeUser(const Identity& identity);

// By number, or by name in the container's own files.
absl::StatusOr<Identity> ResolveIdentity(const User& user);

// Resource limits, OOM score, scheduler and I/O priority of `pid` (0: this process). What this host
// will not raise is kept lower, with a warning.
absl::Status ApplyLimits(const Process& process, pid_t pid, std::vector<std::string>& warnings);
// Whether limits and stdio can be seen to before the process has made its container: its user is a
// number, and nothing of it stands in the way of that work.
inline bool CanActEarly(const Process& process) {
  return process.user.username.empty() && process.rlimits.empty() && !process.scheduler.has_value();
}
absl::Status SetCpus(pid_t pid, const std::vector<uint32_t>& cpus, const char* field);
absl::Status SetMemoryPolicy(const MemoryPolicy& policy);

// A pipe or terminal is opened again by programs that write to /dev/stdout: it must belong to the
// user. As far as this process may; -1 is passed over.
void GiveStdio(const int (&fds)[3], uint32_t uid, uint32_t gid);

// User, groups, capabilities, no_new_privs and filter, in the one order that works. `listener` gets
// the notify fd of a filter that has one.
absl::Status ApplyPrivileges(const Process& process, const Identity& identity,
                             const std::optional<seccomp::Filter>& filter, UniqueFd& listener);

// The file to run and what execve wants, found in the container's PATH. Reasons: COMMAND_NOT_FOUND,
// COMMAND_NOT_EXECUTABLE.
struct Command {
  std::string file;
  std::vector<std::string> args;
  std::vector<std::string> env;
};
absl::StatusOr<Command> ResolveCommand(const Process& process, const Identity& identity);

// Only returns if it cannot.
absl::Status Execute(const Command& command);

absl::Status ChangeDirectory(const std::string& cwd, const Identity& identity, bool may_create);

}  // namespace darse::container
