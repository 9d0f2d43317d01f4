#include "libs/os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

extern char** environ;

namespace darse {
namespace {

int PidfdOpen(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

ExitStatus FromWait(int status) {
  if (WIFSIGNALED(status)) return {128 + WTERMSIG(status), WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

int PollTimeout(absl::Time deadline) {
  absl::Duration left = deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return 0;
  return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 60'000));
}

}  // namespace

absl::StatusOr<Process> Process::Spawn(const SpawnOptions& options) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  absl::Cleanup destroy = [&] {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  };

  // Duplicates above all targets first: a source may itself be another one's target.
  int highest = STDERR_FILENO;
  for (const auto& [from, to] : options.fds) highest = std::max(highest, to);
  std::vector<UniqueFd> sources;
  std::array<bool, 3> named = {};
  for (const auto& [from, to] : options.fds) {
    UniqueFd source(::fcntl(from, F_DUPFD_CLOEXEC, highest + 1));
    if (!source.valid()) {
      return absl::ErrnoToStatus(errno,
                                 absl::StrCat("spawn ", options.program, ": descriptor ", from));
    }
    ::posix_spawn_file_actions_adddup2(&actions, source.get(), to);
    sources.push_back(std::move(source));
    if (to <= STDERR_FILENO) named[to] = true;
  }
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if (!named[fd]) ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  }
  // Descriptors between and above the targets that somebody opened without O_CLOEXEC.
  std::vector<int> targets;
  for (const auto& [from, to] : options.fds) targets.push_back(to);
  for (int fd = STDERR_FILENO + 1; fd <= highest; ++fd) {
    // A close of what is not open is ignored.
    if (std::find(targets.begin(), targets.end(), fd) == targets.end()) {
      ::posix_spawn_file_actions_addclose(&actions, fd);
    }
  }
  ::posix_spawn_file_actions_addclosefrom_np(&actions, highest + 1);
  if (!options.working_dir.empty()) {
    ::posix_spawn_file_actions_addchdir_np(&actions, options.working_dir.c_str());
  }

  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags |= POSIX_SPAWN_SETSID;
  ::posix_spawnattr_setflags(&attributes, flags);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);

  std::vector<std::string> args = {options.name.empty() ? options.program : options.name};
  args.insert(args.end(), options.args.begin(), options.args.end());
  std::vector<char*> argv = Pointers(args);
  std::vector<char*> envp;
  if (options.env) envp = Pointers(*options.env);
  pid_t pid = 0;
  int error = ::posix_spawnp(&pid, options.program.c_str(), &actions, &attributes, argv.data(),
                             options.env ? envp.data() : environ);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("spawn ", options.program));
  // The child is not reaped before Wait, so the pid cannot have been given to another.
  UniqueFd pidfd(PidfdOpen(pid));
  if (!pidfd.valid()) {
    absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat("pidfd of ", options.program));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return status;
  }
  return Process(pid, std::move(pidfd));
}

absl::StatusOr<ExitStatus> Process::Wait() {
  int status = 0;
  for (;;) {
    if (::waitpid(pid_, &status, 0) == pid_) return FromWait(status);
    if (errno != EINTR) return absl::ErrnoToStatus(errno, absl::StrCat("wait for ", pid_));
  }
}

absl::StatusOr<ExitStatus> Process::WaitFor(absl::Duration timeout) {
  absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    struct pollfd exited = {pidfd_.get(), POLLIN, 0};
    int n = ::poll(&exited, 1, PollTimeout(deadline));
    if (n > 0) return Wait();
    if (n < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll pidfd");
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("process ", pid_, ": still runs after ", absl::FormatDuration(timeout)));
    }
  }
}

absl::Status Process::Kill(int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0 || errno == ESRCH) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("signal ", pid_));
}

absl::StatusOr<ProgramOutput> RunProgram(const SpawnOptions& options, absl::string_view input,
                                         absl::Duration timeout) {
  absl::Time deadline = absl::Now() + timeout;
  std::array<UniqueFd, 3> ours, theirs;
  for (int i = 0; i < 3; ++i) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
    bool child_reads = i == STDIN_FILENO;
    theirs[i].Reset(ends[child_reads ? 0 : 1]);
    ours[i].Reset(ends[child_reads ? 1 : 0]);
    ::fcntl(ours[i].get(), F_SETFL, O_NONBLOCK);
  }
  SpawnOptions piped = options;
  for (int i = 0; i < 3; ++i) piped.fds.emplace_back(theirs[i].get(), i);
  ASSIGN_OR_RETURN(Process process, Process::Spawn(piped));
  for (UniqueFd& fd : theirs) fd.Reset();
  if (input.empty()) ours[STDIN_FILENO].Reset();

  ProgramOutput output;
  while (ours[STDOUT_FILENO].valid() || ours[STDERR_FILENO].valid()) {
    struct pollfd fds[3];
    for (int i = 0; i < 3; ++i) {
      // A descriptor of -1 is skipped.
      fds[i] = {ours[i].get(), static_cast<short>(i == STDIN_FILENO ? POLLOUT : POLLIN), 0};
    }
    int n = ::poll(fds, 3, PollTimeout(deadline));
    if (n <= 0 && absl::Now() >= deadline) {
      process.Kill(SIGKILL).IgnoreError();
      process.Wait().IgnoreError();
      return absl::DeadlineExceededError(absl::StrCat(
          "run ", options.program, ": still runs after ", absl::FormatDuration(timeout)));
    }
    if (n <= 0) continue;
    if (fds[STDIN_FILENO].revents != 0) {
      ssize_t written = ::write(ours[STDIN_FILENO].get(), input.data(), input.size());
      if (written > 0) input.remove_prefix(written);
      // A program that closes its input does not want the rest.
      if (input.empty() || (written < 0 && errno != EAGAIN && errno != EINTR)) {
        ours[STDIN_FILENO].Reset();
      }
    }
    for (int i : {STDOUT_FILENO, STDERR_FILENO}) {
      if (fds[i].revents == 0) continue;
      char buffer[16384];
      ssize_t got = ::read(ours[i].get(), buffer, sizeof(buffer));
      if (got > 0) (i == STDOUT_FILENO ? output.out : output.err).append(buffer, got);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) ours[i].Reset();
    }
  }
  absl::StatusOr<ExitStatus> exit = process.WaitFor(deadline - absl::Now());
  if (!exit.ok()) {
    process.Kill(SIGKILL).IgnoreError();
    process.Wait().IgnoreError();
    return exit.status();
  }
  output.exit = *exit;
  return output;
}

}  // namespace darse
