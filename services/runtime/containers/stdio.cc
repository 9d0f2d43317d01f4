// Exec and attach: from a request to streams.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/os/path_in_root.h"
#include "libs/os/process_identity.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/containers/oci_config.h"
#include "services/runtime/containers/root_view.h"
#include "services/shim/packet.h"

namespace darse::runtime {
namespace {

// 128 + SIGKILL: what an exec counts as that ended with its container.
constexpr int kKilled = 137;

struct Pipes {
  StdioEnds ours;
  // In the order in, out, err; invalid where there is none.
  UniqueFd theirs[3];
  uint32_t bits = 0;
};

absl::Status AddPipe(UniqueFd& reader, UniqueFd& writer) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  reader.Reset(fds[0]);
  writer.Reset(fds[1]);
  return absl::OkStatus();
}

void DoNotBlock(const UniqueFd& fd) {
  if (fd.valid()) fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

absl::StatusOr<Pipes> MakePipes(bool with_stdin, bool with_stderr) {
  Pipes pipes;
  if (with_stdin) {
    RETURN_IF_ERROR(AddPipe(pipes.theirs[0], pipes.ours.in));
    pipes.bits |= shim::kStdin;
  }
  RETURN_IF_ERROR(AddPipe(pipes.ours.out, pipes.theirs[1]));
  pipes.bits |= shim::kStdout;
  if (with_stderr) {
    RETURN_IF_ERROR(AddPipe(pipes.ours.err, pipes.theirs[2]));
    pipes.bits |= shim::kStderr;
  }
  // Ours alone: a process may expect its own ends to block.
  DoNotBlock(pipes.ours.in);
  DoNotBlock(pipes.ours.out);
  DoNotBlock(pipes.ours.err);
  return pipes;
}

std::vector<int> Numbers(const UniqueFd (&ends)[3], uint32_t& bits) {
  std::vector<int> numbers;
  bits = 0;
  constexpr uint32_t kBits[] = {shim::kStdin, shim::kStdout, shim::kStderr};
  for (int i = 0; i < 3; ++i) {
    if (!ends[i].valid()) continue;
    numbers.push_back(ends[i].get());
    bits |= kBits[i];
  }
  return numbers;
}

}  // namespace

absl::StatusOr<ProcessStream> ContainerEngine::Exec(absl::string_view reference,
                                                    const ExecOptions& options,
                                                    absl::string_view actor,
                                                    std::function<void()> wake) {
  if (options.args.empty() || options.args[0].empty()) {
    return absl::InvalidArgumentError("args: nothing to execute");
  }
  ASSIGN_OR_RETURN(ContainerRecord record, Get(reference));
  RETURN_IF_ERROR(Annotate(Next(record.state, Verb::kExec),
                           absl::StrCat("executing in container \"", record.name, "\""))
                      .status());
  ProcessInput input;
  input.args = options.args;
  input.tty = options.tty;
  input.privileged = options.privileged;
  input.columns = options.columns;
  input.rows = options.rows;
  input.cwd = options.working_dir.empty() ? record.merged.working_dir() : options.working_dir;
  {
    // As the container sees it now, with what is mounted over it.
    absl::StatusOr<UniqueFd> root = OpenDirectory(absl::StrCat("/proc/", record.pid, "/root"));
    if (!root.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("container \"", record.name, "\" is just ending"));
    }
    std::vector<std::string> groups;
    if (options.user.empty()) {
      groups.assign(record.merged.additional_groups().begin(),
                    record.merged.additional_groups().end());
    }
    ASSIGN_OR_RETURN(
        input.user,
        LookUpUserIn(root->get(), options.user.empty() ? record.merged.user() : options.user,
                     groups));
  }
  input.env =
      BuildEnv(record.merged, record.merged.hostname(), input.user.home, options.tty, options.env);
  ASSIGN_OR_RETURN(UniqueFd json, shim::MakeMemoryFile(BuildOciProcess(record.merged, input)));

  shim::Request request{.kind = shim::RequestKind::kExec, .exec_id = new_id_()};
  std::vector<int> fds = {json.get()};
  Pipes pipes;
  if (!options.tty && !options.detach) {
    ASSIGN_OR_RETURN(pipes, MakePipes(options.stdin_open, true));
    std::vector<int> numbers = Numbers(pipes.theirs, request.stdio);
    fds.insert(fds.end(), numbers.begin(), numbers.end());
  }
  ProcessStream stream;
  StdioSession::Options stdio_options{.terminal = options.tty, .ends_at_exit = true};
  std::function<void()> woken = std::move(wake);
  stream.stdio = std::make_shared<StdioSession>(loop_, stdio_options, woken);
  {
    // Before the request: the exit may come together with the answer.
    absl::MutexLock lock(&mu_);
    execs_[request.exec_id] = {record.id, stream.stdio, !options.silent};
  }
  std::vector<NewEvent> events;
  std::string command = absl::StrCat(options.args[0]);
  if (!options.silent) {
    absl::Status told = db_.Write([&](sqlite::Transaction& tx) {
      return events_.Append(tx, Event(record, "exec_create", actor,
                                      {{"execID", request.exec_id}, {"command", command}}));
    });
    RETURN_IF_ERROR(told);
  }
  absl::StatusOr<ShimAnswer> answer = Ask(record.id, request, fds);
  if (!answer.ok()) {
    absl::MutexLock lock(&mu_);
    execs_.erase(request.exec_id);
    if (absl::IsUnavailable(answer.status())) {
      return absl::FailedPreconditionError(
          absl::StrCat("container \"", record.name, "\" is just ending"));
    }
    return answer.status();
  }
  stream.pid = answer->message.pid;
  if (options.tty) {
    if (answer->fds.empty()) return absl::InternalError("the shim sent no terminal");
    StdioEnds ends;
    ends.out = std::move(answer->fds[0]);
    DoNotBlock(ends.out);
    ends.in.Reset(fcntl(ends.out.get(), F_DUPFD_CLOEXEC, 3));
    stream.stdio->Open(std::move(ends));
  } else {
    stream.stdio->Open(std::move(pipes.ours));
  }
  if (options.tty && options.columns != 0 && options.rows != 0) {
    stream.stdio->Resize(options.columns, options.rows).IgnoreError();
  }
  std::shared_ptr<StdioSession> stdio = stream.stdio;
  stream.resize = [stdio](uint32_t columns, uint32_t rows) { return stdio->Resize(columns, rows); };
  absl::StatusOr<ProcessIdentity> process = IdentifyProcess(static_cast<pid_t>(stream.pid));
  stream.signal = [process](int signal) -> absl::Status {
    // It was gone before it could be told apart from a later one.
    if (!process.ok()) return absl::OkStatus();
    absl::Status killed = KillProcess(*process, signal);
    return absl::IsNotFound(killed) ? absl::OkStatus() : killed;
  };
  return stream;
}

absl::StatusOr<ProcessStream> ContainerEngine::Attach(absl::string_view reference, bool with_stdin,
                                                      std::function<void()> wake) {
  ASSIGN_OR_RETURN(std::string id, FindId(reference));
  KeyedLocks::Hold hold = locks_.Lock(id);
  ASSIGN_OR_RETURN(ContainerRecord record, Read(id));
  bool terminal = record.merged.tty();
  bool gets_stdin = with_stdin && record.merged.stdin_open();
  ASSIGN_OR_RETURN(Pipes pipes, MakePipes(gets_stdin, !terminal));
  ProcessStream stream;
  stream.stdio = std::make_shared<StdioSession>(
      loop_,
      StdioSession::Options{
          .terminal = terminal,
          .input_drained =
              [this, id] {
                pool_.Post(id, [this, id] {
                  Ask(id, {.kind = shim::RequestKind::kCloseStdin}).status().IgnoreError();
                });
              }},
      std::move(wake));
  stream.resize = [this, id, mine = std::weak_ptr<StdioSession>(stream.stdio)](uint32_t columns,
                                                                               uint32_t rows) {
    if (ResizePending(id, mine.lock(), columns, rows)) return absl::OkStatus();
    absl::Status resized =
        Ask(id, {.kind = shim::RequestKind::kResize, .columns = columns, .rows = rows}).status();
    // After the end there is no terminal.
    return absl::IsUnavailable(resized) ? absl::OkStatus() : resized;
  };
  PendingStream pending{.stdio = stream.stdio};
  std::move(std::begin(pipes.theirs), std::end(pipes.theirs), std::begin(pending.shim_ends));
  if (IsLive(record.state)) {
    {
      absl::MutexLock lock(&mu_);
      attachments_.push_back({.container_id = id, .stdio = stream.stdio});
    }
    RETURN_IF_ERROR(AttachLive(id, pending));
  } else if (record.state == ContainerState::kRemoving) {
    return absl::FailedPreconditionError("the container is being deleted");
  } else {
    absl::MutexLock lock(&mu_);
    std::vector<PendingStream>& waiting = pending_[id];
    waiting.erase(std::remove_if(waiting.begin(), waiting.end(),
                                 [](const PendingStream& old) { return old.stdio.expired(); }),
                  waiting.end());
    waiting.push_back(std::move(pending));
  }
  stream.stdio->Open(std::move(pipes.ours));
  return stream;
}

absl::Status ContainerEngine::AttachLive(const std::string& id, const PendingStream& stream) {
  shim::Request request{.kind = shim::RequestKind::kAttach};
  std::vector<int> fds = Numbers(stream.shim_ends, request.stdio);
  return Annotate(Ask(id, request, fds).status(), "attaching");
}

bool ContainerEngine::ResizePending(const std::string& id,
                                    const std::shared_ptr<StdioSession>& stdio, uint32_t columns,
                                    uint32_t rows) {
  absl::MutexLock lock(&mu_);
  auto found = pending_.find(id);
  if (found == pending_.end()) return false;
  for (PendingStream& stream : found->second) {
    if (stream.stdio.lock() != stdio) continue;
    stream.columns = columns;
    stream.rows = rows;
    return true;
  }
  return false;
}

std::vector<ContainerEngine::PendingStream> ContainerEngine::TakePending(const std::string& id) {
  absl::MutexLock lock(&mu_);
  std::vector<PendingStream> alive;
  auto found = pending_.find(id);
  if (found == pending_.end()) return alive;
  for (PendingStream& stream : found->second) {
    if (!stream.stdio.expired()) alive.push_back(std::move(stream));
  }
  pending_.erase(found);
  return alive;
}

void ContainerEngine::EndStreams(const std::string& id, int exit_code) {
  std::vector<std::pair<std::shared_ptr<StdioSession>, int>> ended;
  {
    absl::MutexLock lock(&mu_);
    for (auto it = execs_.begin(); it != execs_.end();) {
      if (it->second.container_id == id) {
        ended.emplace_back(it->second.stdio.lock(), kKilled);
        it = execs_.erase(it);
      } else {
        ++it;
      }
    }
    auto mine = std::partition(attachments_.begin(), attachments_.end(),
                               [&](const Stream& stream) { return stream.container_id != id; });
    for (auto it = mine; it != attachments_.end(); ++it) {
      ended.emplace_back(it->stdio.lock(), exit_code);
    }
    attachments_.erase(mine, attachments_.end());
  }
  for (auto& [stdio, code] : ended) {
    if (stdio != nullptr) stdio->SetExit(code);
  }
}

}  // namespace darse::runtime
