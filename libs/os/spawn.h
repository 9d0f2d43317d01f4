// Starts other programs from processes that have threads: posix_spawn, never fork.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/unique_fd.h"

namespace darse {

struct SpawnOptions {
  // With a slash: that file; without: looked up in PATH.
  std::string program;
  // argv[0]; empty: `program`.
  std::string name;
  // argv[1] and on.
  std::vector<std::string> args;
  // Unset: this process's own.
  std::optional<std::vector<std::string>> env;
  // Descriptor here → number there. Standard streams that are not named come from /dev/null;
  // all other descriptors are closed.
  std::vector<std::pair<int, int>> fds;
  // Empty: this process's own.
  std::string working_dir;
  bool new_session = false;
};

// How a process ended.
struct ExitStatus {
  // The exit code, or 128 + signal.
  int code = 0;
  // 0 if it exited by itself.
  int signal = 0;
};

// A child of this process. Destroying it neither kills nor waits: a child that nobody waits for
// stays a zombie until this process ends.
class Process {
 public:
  // Has an empty signal mask and default signal handlers. NOT_FOUND if there is no such program.
  static absl::StatusOr<Process> Spawn(const SpawnOptions& options);

  pid_t pid() const { return pid_; }
  // Readable when the child has exited.
  int pidfd() const { return pidfd_.get(); }
  // Blocks until it has exited; once only.
  absl::StatusOr<ExitStatus> Wait();
  // DEADLINE_EXCEEDED if it still runs after `timeout`; may then be called again.
  absl::StatusOr<ExitStatus> WaitFor(absl::Duration timeout);
  // OK if it has exited already.
  absl::Status Kill(int signal);

 private:
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_;
  UniqueFd pidfd_;
};

struct ProgramOutput {
  ExitStatus exit;
  std::string out;
  std::string err;
};

// Runs a program to its end with `input` as its standard input; kills it at the deadline
// (DEADLINE_EXCEEDED). A program that exits with a code other than 0 is OK here.
absl::StatusOr<ProgramOutput> RunProgram(const SpawnOptions& options, absl::string_view input,
                                         absl::Duration timeout);

}  // namespace darse
