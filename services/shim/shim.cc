#include "services/shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/monotonic.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/failure.h"
#include "libs/os/idle_memory.h"
#include "services/shim/packet.h"

namespace darse::shim {
namespace {

Failure ToFailure(const absl::Status& status) {
  return {.step = container::StepOf(status),
          .error = ErrnoOf(status),
          .reason = Reason(status),
          .message = std::string(status.message())};
}

// As a shell would say it.
int ExitCodeOf(const absl::Status& status) {
  std::string reason = Reason(status);
  if (reason == "COMMAND_NOT_FOUND") return 127;
  if (reason == "COMMAND_NOT_EXECUTABLE") return 126;
  return 125;
}

int ExitCode(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

uint32_t Random() {
  uint32_t number = 0;
  if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0) return 0;
  return number;
}

// The longest a final message may wait for a client that does not read.
constexpr int64_t kFarewellMs = 1000;

}  // namespace

Shim::Shim(ShimOptions options, ShimConfig config)
    : options_(std::move(options)),
      config_(std::move(config)),
      log_(config_.log),
      stdio_(poller_, log_, [this] { clients_.Broadcast({.kind = MessageKind::kAttachDropped}); }),
      clients_(poller_,
               [this](ClientId client, const Request& request, std::vector<UniqueFd> fds) {
                 OnRequest(client, request, std::move(fds));
               }),
      cgroup_path_(options_.starter.cgroup_path) {}

absl::Status Shim::Open() {
  RETURN_IF_ERROR(poller_.Open());
  // First: what goes wrong from here on is told there.
  clients_.Subscribe(clients_.Adopt(std::move(options_.report)));
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  children_.Reset(signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!children_.valid()) return SyscallError(errno, "signalfd");
  poller_.Add(children_.get(), EPOLLIN, [this](uint32_t) { OnChildren(); });
  return absl::OkStatus();
}

absl::Status Shim::OpenFiles() {
  ASSIGN_OR_RETURN(cgroups_, cgroup::OpenHostCgroups());
  RETURN_IF_ERROR(log_.Open());
  RETURN_IF_ERROR(
      journal_.Open(absl::StrCat(options_.state_dir, "/exits"), /*durable=*/!config_.transient));
  // run_dir is the working directory.
  RETURN_IF_ERROR(clients_.Listen());
  journal_.MakeNameDurable().IgnoreError();
  return absl::OkStatus();
}

void Shim::AbandonStart() {
  StartResult result = FinishStart(starting_.get());
  if (result.status.ok()) kill(static_cast<pid_t>(result.pid), SIGKILL);
  poller_.Remove(starting_.get());
  starting_.Reset();
}

absl::Status Shim::Run() {
  absl::Status opened = Open();
  if (opened.ok()) {
    UniqueFd(&attach)[3] = options_.attach;
    bool any = attach[0].valid() || attach[1].valid() || attach[2].valid();
    opened = BeginFirstProcess();
    if (opened.ok()) {
      // While the process is being made.
      opened = OpenFiles();
      if (!opened.ok()) AbandonStart();
    }
    if (opened.ok() && any) {
      // A client that detaches, or a runtime that dies, does not end the container's stdin: that
      // takes kCloseStdin.
      stdio_.Attach(std::move(attach[0]), std::move(attach[1]), std::move(attach[2]),
                    /*end_stdin=*/false);
    }
  }
  if (!opened.ok()) {
    OnStartFailed(opened);
    Finish();
    return opened;
  }
  while (!done_) {
    WaitOnce();
    stdio_.DropStalled();
    if (state_ == State::kRestarting && MonotonicMs() >= restart_at_ms_) {
      absl::Status begun = BeginFirstProcess();
      if (!begun.ok()) OnStartFailed(begun);
    }
  }
  Finish();
  return absl::OkStatus();
}

void Shim::WaitOnce() {
  // An event comes rarely alone; a fifth of a second after the last one it is quiet.
  constexpr int kQuietMs = 200;
  int timeout = TimeoutMs();
  bool quiet = timeout < 0 || timeout > kQuietMs;
  if (idle_ || !quiet) {
    idle_ = poller_.Once(timeout) ? false : idle_;
    return;
  }
  if (poller_.Once(kQuietMs)) return;
  stdio_.ReleaseBuffer();
  log_.ReleaseBuffer();
  ReleaseIdleMemory();
  idle_ = true;
}

int Shim::TimeoutMs() const {
  int timeout = stdio_.TimeoutMs();
  if (state_ == State::kRestarting) {
    int left = static_cast<int>(std::max<int64_t>(restart_at_ms_ - MonotonicMs(), 0));
    timeout = timeout < 0 ? left : std::min(timeout, left);
  }
  return timeout;
}

absl::Status Shim::BeginFirstProcess() {
  state_ = State::kStarting;
  RETURN_IF_ERROR(stdio_.Prepare(config_.stdin_open));
  StartJob job = {.bundle_dir = options_.run_dir, .config = &config_};
  for (int i = 0; i < 3; ++i) job.stdio[i] = stdio_.child_end(i);
  job.clearance = options_.clearance.get();
  absl::StatusOr<UniqueFd> socket = options_.starter.socket.valid()
                                        ? BeginStart(std::move(options_.starter), job)
                                        : BeginStart(job);
  stdio_.CloseChildEnds();
  options_.clearance.Reset();
  RETURN_IF_ERROR(socket.status());
  starting_ = *std::move(socket);
  poller_.Add(starting_.get(), EPOLLIN, [this](uint32_t) { OnStarted(); });
  return absl::OkStatus();
}

void Shim::OnStarted() {
  StartResult result = FinishStart(starting_.get());
  poller_.Remove(starting_.get());
  starting_.Reset();
  if (!result.status.ok()) return OnStartFailed(result.status);
  state_ = State::kRunning;
  pid_ = static_cast<pid_t>(result.pid);
  started_ns_ = WallNs();
  started_ms_ = MonotonicMs();
  cgroup_path_ = std::move(result.cgroup_path);
  own_pid_namespace_ = result.own_pid_namespace;
  if (result.terminal.valid()) stdio_.UseTerminal(std::move(result.terminal));
  mount_namespace_.Reset(
      open(absl::StrCat("/proc/", pid_, "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  oom_kills_ = cgroups_->ReadOomKills(cgroup_path_).value_or(0);
  oom_told_ = oom_kills_;
  if (!oom_.valid()) {
    absl::StatusOr<UniqueFd> watch = cgroups_->WatchOom(cgroup_path_);
    if (watch.ok()) {
      oom_ = *std::move(watch);
      poller_.Add(oom_.get(), EPOLLIN, [this](uint32_t) { OnOom(); });
    }
  }
  Message message = {.kind = first_start_ ? MessageKind::kStarted : MessageKind::kRestarted,
                     .state = state_,
                     .pid = pid_,
                     .started_ns = started_ns_,
                     .restart_count = history_.restart_count,
                     .warnings = std::move(result.warnings)};
  first_start_ = false;
  clients_.Broadcast(message);
  // A stop that came while it was starting.
  if (stop_requested_) Signal(SIGKILL).IgnoreError();
  for (const auto& [pid, status] : early_exits_) {
    if (pid == pid_) {
      OnExit(status);
      break;
    }
  }
  if (starting_execs_.empty()) early_exits_.clear();
}

void Shim::OnStartFailed(const absl::Status& status) {
  if (first_start_) {
    clients_.Broadcast({.kind = MessageKind::kFailed, .failure = ToFailure(status)});
    done_ = true;
    state_ = State::kExited;
    return;
  }
  Conclude({.time_ns = WallNs(),
            .started_ns = WallNs(),
            .exit_code = ExitCodeOf(status),
            .stopped = stop_requested_,
            .error = std::string(status.message())},
           0);
}

void Shim::OnChildren() {
  signalfd_siginfo info;
  while (read(children_.get(), &info, sizeof(info)) > 0) {
  }
  for (;;) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    if (pid == pid_) {
      OnExit(status);
      continue;
    }
    auto exec = execs_.find(pid);
    if (exec != execs_.end()) {
      Message message = {.kind = MessageKind::kExecExited, .exec_id = exec->second};
      message.exit.time_ns = WallNs();
      message.exit.pid = pid;
      message.exit.exit_code = ExitCode(status);
      message.exit.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      execs_.erase(exec);
      clients_.Broadcast(message);
    } else if (starting_.valid() || !starting_execs_.empty()) {
      early_exits_.emplace_back(pid, status);
    }
  }
}

bool Shim::WasOomKilled() {
  uint64_t kills = cgroups_->ReadOomKills(cgroup_path_).value_or(oom_kills_);
  bool more = kills > oom_kills_;
  oom_kills_ = kills;
  return more;
}

void Shim::OnOom() {
  char drop[512];
  while (read(oom_.get(), drop, sizeof(drop)) > 0) {
  }
  if (state_ == State::kRunning) TellOom();
}

// The count moves a moment after the event on v1; the exit looks again.
void Shim::TellOom() {
  uint64_t kills = cgroups_->ReadOomKills(cgroup_path_).value_or(oom_told_);
  if (kills <= oom_told_) return;
  oom_told_ = kills;
  clients_.Broadcast({.kind = MessageKind::kOom, .pid = pid_});
}

void Shim::OnExit(int wait_status) {
  int64_t ran_ms = MonotonicMs() - started_ms_;
  TellOom();
  ExitRecord record = {.time_ns = WallNs(),
                       .started_ns = started_ns_,
                       .pid = pid_,
                       .exit_code = ExitCode(wait_status),
                       .signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0,
                       .oom_killed = WasOomKilled(),
                       .stopped = stop_requested_};
  pid_ = 0;
  // With a pid namespace of its own the kernel has killed the rest already.
  if (!own_pid_namespace_) cgroups_->KillAll(cgroup_path_).IgnoreError();
  Conclude(std::move(record), ran_ms);
}

void Shim::Conclude(ExitRecord record, int64_t ran_ms) {
  RestartDecision decision = DecideRestart(config_.restart,
                                           {.code = record.exit_code,
                                            .stopped = record.stopped,
                                            .ran_ms = ran_ms,
                                            .at_ms = MonotonicMs()},
                                           Random(), history_);
  stdio_.Drain(decision.restart);
  record.final = !decision.restart;
  record.restart_delay_ms = decision.delay_ms;
  record.restart_count = history_.restart_count;
  // A disk that is full now may not be in a moment; nobody is told before the record is safe.
  for (int attempt = 0; !journal_.Append(record).ok() && attempt < 600; ++attempt) usleep(100'000);
  newest_exit_ = record;
  state_ = decision.restart ? State::kRestarting : State::kExited;
  restart_at_ms_ = MonotonicMs() + decision.delay_ms;
  clients_.Broadcast({.kind = MessageKind::kExited,
                      .state = state_,
                      .restart_count = history_.restart_count,
                      .exit = newest_exit_});
  if (decision.restart) mount_namespace_.Reset();
  done_ = !decision.restart;
}

void Shim::Finish() {
  // Output that attachers have not taken yet, and messages that clients have not.
  int64_t farewell_ends_ms = MonotonicMs() + kFarewellMs;
  while (stdio_.HasUndelivered() || (clients_.HasUnsent() && MonotonicMs() < farewell_ends_ms)) {
    poller_.Once(50);
    stdio_.DropStalled();
  }
  stdio_.DropAttachers();
  // The kernel takes milliseconds for it: nobody is to wait for that any more, nor to share a core
  // with it.
  setpriority(PRIO_PROCESS, 0, 19);
  mount_namespace_.Reset();
  options_.starter.socket.Reset();
  if (!cgroup_path_.empty() && cgroups_ != nullptr) {
    // What is killed, or a starter that failed, leaves it a moment later.
    for (int attempt = 0; attempt < 200 && !cgroups_->Delete(cgroup_path_).ok(); ++attempt) {
      if (attempt == 0) cgroups_->KillAll(cgroup_path_).IgnoreError();
      usleep(5000);
    }
  }
  unlink("shim.sock");
  unlink("shim.pid");
}

Message Shim::StateMessage() const {
  return {.kind = MessageKind::kState,
          .state = state_,
          .pid = pid_,
          .started_ns = started_ns_,
          .restart_count = history_.restart_count,
          .exit = newest_exit_};
}

void Shim::OnRequest(ClientId client, const Request& request, std::vector<UniqueFd> fds) {
  if (request.kind == RequestKind::kGetState || request.kind == RequestKind::kSubscribe) {
    if (request.kind == RequestKind::kSubscribe) clients_.Subscribe(client);
    Message message = StateMessage();
    message.request_id = request.id;
    return clients_.Send(client, message);
  }
  absl::Status served = Serve(client, request, fds);
  if (served.ok() && request.kind == RequestKind::kExec) return;  // answered when it has started
  Message answer = {.kind = MessageKind::kDone, .request_id = request.id};
  if (!served.ok()) {
    answer.kind = MessageKind::kFailed;
    answer.failure = ToFailure(served);
  }
  clients_.Send(client, answer);
}

absl::Status Shim::Serve(ClientId client, const Request& request, std::vector<UniqueFd>& fds) {
  switch (request.kind) {
    case RequestKind::kSignal:
      return Signal(request.signal);
    case RequestKind::kStop:
      return Stop(request.signal == 0 ? config_.stop_signal : request.signal);
    case RequestKind::kShutdown:
      return Shutdown();
    case RequestKind::kExec:
      return BeginExec(client, request, fds);
    case RequestKind::kResize:
      return stdio_.Resize(request.columns, request.rows);
    case RequestKind::kAttach: {
      UniqueFd three[3];
      size_t next = 0;
      for (int i = 0; i < 3; ++i) {
        if ((request.stdio >> i & 1) == 0) continue;
        if (next == fds.size()) return absl::InvalidArgumentError("attach: fewer fds than it says");
        three[i] = std::move(fds[next++]);
      }
      if (next != fds.size()) return absl::InvalidArgumentError("attach: more fds than it says");
      stdio_.Attach(std::move(three[0]), std::move(three[1]), std::move(three[2]),
                    request.end_stdin);
      return absl::OkStatus();
    }
    case RequestKind::kCloseStdin:
      stdio_.CloseStdin();
      return absl::OkStatus();
    case RequestKind::kUpdateRestart:
      config_.restart = request.restart;
      return absl::OkStatus();
    default:
      return absl::UnimplementedError("no such request");
  }
}

absl::Status Shim::Signal(int signal) {
  if (signal < 1 || signal >= NSIG) return absl::InvalidArgumentError("no such signal");
  if (pid_ == 0) return SyscallError(ESRCH, "signal: the container does not run");
  if (signal == SIGKILL) stop_requested_ = true;
  // Still our child, so the number cannot have been given away.
  if (kill(pid_, signal) < 0) return SyscallError(errno, "signal");
  return absl::OkStatus();
}

absl::Status Shim::Stop(int signal) {
  if (signal < 1 || signal >= NSIG) return absl::InvalidArgumentError("no such signal");
  stop_requested_ = true;
  if (state_ == State::kRestarting) {
    Conclude({.time_ns = WallNs(),
              .started_ns = newest_exit_.started_ns,
              .exit_code = newest_exit_.exit_code,
              .stopped = true},
             0);
    return absl::OkStatus();
  }
  if (state_ == State::kStarting) return absl::OkStatus();  // killed as soon as it is known
  return Signal(signal);
}

absl::Status Shim::Shutdown() {
  stop_requested_ = true;
  if (state_ != State::kRunning) return Stop(SIGKILL);
  absl::Status killed = cgroups_->KillAll(cgroup_path_);
  // A paused cgroup of v1, or one that somebody has removed: at least the first process.
  if (pid_ != 0 && kill(pid_, SIGKILL) == 0) return absl::OkStatus();
  return killed;
}

absl::Status Shim::BeginExec(ClientId client, const Request& request, std::vector<UniqueFd>& fds) {
  if (state_ != State::kRunning) {
    return absl::FailedPreconditionError("exec: the container does not run");
  }
  if (fds.empty()) return absl::InvalidArgumentError("exec: the process JSON is missing");
  StartJob job = {.bundle_dir = options_.run_dir, .config = &config_};
  job.join_pid = pid_;
  job.process_json = fds[0].get();
  size_t next = 1;
  for (int i = 0; i < 3; ++i) {
    if ((request.stdio >> i & 1) == 0) continue;
    if (next == fds.size()) return absl::InvalidArgumentError("exec: fewer fds than it says");
    job.stdio[i] = fds[next++].get();
  }
  if (next != fds.size()) return absl::InvalidArgumentError("exec: more fds than it says");
  ASSIGN_OR_RETURN(UniqueFd socket, BeginStart(job));
  uint64_t number = next_exec_++;
  poller_.Add(socket.get(), EPOLLIN, [this, number](uint32_t) { OnExecStarted(number); });
  starting_execs_[number] = {client, request.id, request.exec_id, std::move(socket)};
  return absl::OkStatus();
}

void Shim::OnExecStarted(uint64_t number) {
  auto found = starting_execs_.find(number);
  PendingExec exec = std::move(found->second);
  starting_execs_.erase(found);
  poller_.Remove(exec.socket.get());
  StartResult result = FinishStart(exec.socket.get());
  Message answer = {.kind = MessageKind::kStarted,
                    .request_id = exec.request_id,
                    .state = state_,
                    .pid = result.pid,
                    .started_ns = WallNs(),
                    .exec_id = exec.exec_id,
                    .warnings = std::move(result.warnings)};
  if (!result.status.ok()) {
    answer.kind = MessageKind::kFailed;
    answer.failure = ToFailure(result.status);
    return clients_.Send(exec.client, answer);
  }
  execs_[static_cast<pid_t>(result.pid)] = exec.exec_id;
  clients_.Send(exec.client, answer, result.terminal.get());
  for (auto early = early_exits_.begin(); early != early_exits_.end(); ++early) {
    if (early->first != result.pid) continue;
    Message message = {.kind = MessageKind::kExecExited, .exec_id = exec.exec_id};
    message.exit.time_ns = WallNs();
    message.exit.pid = result.pid;
    message.exit.exit_code = ExitCode(early->second);
    message.exit.signal = WIFSIGNALED(early->second) ? WTERMSIG(early->second) : 0;
    execs_.erase(static_cast<pid_t>(result.pid));
    clients_.Broadcast(message);
    break;
  }
  if (starting_execs_.empty() && !starting_.valid()) early_exits_.clear();
}

}  // namespace darse::shim
