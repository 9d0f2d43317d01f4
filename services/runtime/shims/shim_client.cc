#include "services/runtime/shims/shim_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/linux/mount/sealed_program.h"
#include "libs/os/spawn.h"
#include "services/shim/lease.h"
#include "services/shim/packet.h"

namespace darse::runtime {
namespace {

constexpr absl::Duration kAnswerTimeout = absl::Seconds(10);
// Setting up a container takes milliseconds; a machine that swaps may need longer.
constexpr absl::Duration kLaunchTimeout = absl::Seconds(60);

}  // namespace

struct ShimClient::Connection {
  std::string id;
  UniqueFd socket;
  uint64_t key = 0;
  absl::Mutex mu;
  bool closed ABSL_GUARDED_BY(mu) = false;
  uint64_t next_request ABSL_GUARDED_BY(mu) = 1;
  // Answers that somebody waits for, unset until they come.
  std::map<uint64_t, std::unique_ptr<ShimAnswer>> answers ABSL_GUARDED_BY(mu);
};

ShimClient::ShimClient(IoLoop& loop, Clock& clock, std::string program, ShimEvents events)
    : loop_(loop), clock_(clock), program_(std::move(program)), events_(std::move(events)) {
  absl::StatusOr<UniqueFd> sealed = mnt::SealProgram(program_.c_str());
  if (sealed.ok()) sealed_ = *std::move(sealed);
}

ShimClient::~ShimClient() {
  std::map<std::string, std::shared_ptr<Connection>> connections;
  {
    absl::MutexLock lock(&mu_);
    connections.swap(connections_);
  }
  for (auto& [id, connection] : connections) loop_.Remove(connection->key);
}

absl::StatusOr<ShimClient::Spawned> ShimClient::Spawn(const ShimLaunch& launch,
                                                      const std::vector<std::string>& more_args,
                                                      const int (&attach)[3]) {
  static constexpr absl::string_view kAttachFlags[] = {"--attach-stdin", "--attach-stdout",
                                                       "--attach-stderr"};
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return absl::ErrnoToStatus(errno, "socketpair for the shim's report");
  }
  UniqueFd mine(pair[0]);
  UniqueFd theirs(pair[1]);
  fcntl(mine.get(), F_SETFL, O_NONBLOCK);
  SpawnOptions spawn;
  // By our descriptor: the child has closed its own when it executes.
  spawn.program =
      sealed_.valid() ? absl::StrCat("/proc/", getpid(), "/fd/", sealed_.get()) : program_;
  spawn.name = program_;
  spawn.args = {"--state", launch.state_dir, "--run", launch.run_dir, "--report-fd", "3"};
  spawn.args.insert(spawn.args.end(), more_args.begin(), more_args.end());
  spawn.fds = {{theirs.get(), 3}};
  for (int i = 0; i < 3; ++i) {
    if (attach[i] < 0) continue;
    spawn.args.push_back(std::string(kAttachFlags[i]));
    spawn.args.push_back(absl::StrCat(4 + i));
    spawn.fds.push_back({attach[i], 4 + i});
  }
  ASSIGN_OR_RETURN(Process process, Process::Spawn(spawn));
  return Spawned{std::move(process), std::move(mine)};
}

// The first message, or why there is none.
absl::StatusOr<shim::Message> ShimClient::AwaitReport(Process& process, int socket) {
  absl::Time deadline = clock_.Now() + kLaunchTimeout;
  pollfd wait{.fd = socket, .events = POLLIN};
  int ready = 0;
  do {
    ready = poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(deadline - clock_.Now())));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) {
    process.Kill(SIGKILL).IgnoreError();
    return absl::DeadlineExceededError("the shim did not report within a minute");
  }
  ASSIGN_OR_RETURN(shim::Packet packet, shim::ReceivePacket(socket));
  if (packet.bytes.empty()) return absl::InternalError("the shim ended without a report");
  ASSIGN_OR_RETURN(shim::Message report, shim::DecodeMessage(packet.bytes));
  if (report.kind == shim::MessageKind::kFailed) return FailureStatus(report.failure);
  return report;
}

absl::StatusOr<shim::Message> ShimClient::Launch(const ShimLaunch& launch,
                                                 std::optional<ParkedShim> parked) {
  const int attach[3] = {launch.attach_stdin, launch.attach_stdout, launch.attach_stderr};
  auto complete = [&] { return launch.complete == nullptr ? absl::OkStatus() : launch.complete(); };
  absl::Status completed;
  std::optional<Spawned> spawned;
  if (parked.has_value()) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
      absl::Status failed = absl::ErrnoToStatus(errno, "socketpair for the clearance");
      ReapLater(parked->process.pid());
      return failed;
    }
    UniqueFd clearance(pair[0]), theirs(pair[1]);
    absl::Status leased =
        shim::SendLease(parked->socket.get(),
                        {.attach = {attach[0], attach[1], attach[2]}, .clearance = theirs.get()});
    if (leased.ok()) {
      spawned = Spawned{std::move(parked->process), std::move(parked->socket)};
      completed = complete();
      // Without it the shim sees the end of the socket.
      if (completed.ok()) send(clearance.get(), "c", 1, MSG_NOSIGNAL);
    } else {
      // It ended since it was taken; nothing has begun.
      ReapLater(parked->process.pid());
    }
  }
  if (!spawned.has_value()) {
    RETURN_IF_ERROR(complete());
    ASSIGN_OR_RETURN(spawned, Spawn(launch, {}, attach));
  }
  absl::StatusOr<shim::Message> report = AwaitReport(spawned->process, spawned->socket.get());
  ReapLater(spawned->process.pid());
  RETURN_IF_ERROR(completed);
  RETURN_IF_ERROR(report.status());
  Keep(launch.id, std::move(spawned->socket));
  return report;
}

absl::StatusOr<ParkedShim> ShimClient::Park(const ShimLaunch& launch,
                                            const std::string& cgroup_path) {
  ASSIGN_OR_RETURN(Spawned spawned, Spawn(launch, {"--parked", cgroup_path}, {-1, -1, -1}));
  absl::Status ready = AwaitReport(spawned.process, spawned.socket.get()).status();
  if (!ready.ok()) {
    ReapLater(spawned.process.pid());
    return ready;
  }
  return ParkedShim{.id = launch.id,
                    .cgroup_path = cgroup_path,
                    .process = std::move(spawned.process),
                    .socket = std::move(spawned.socket)};
}

void ShimClient::ReapLater(int pid) {
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != 0) return;
  // The shim lives as long as its container does, or hands over to a child and ends at once.
  struct Child {
    UniqueFd pidfd;
    uint64_t key = 0;
  };
  auto child = std::make_shared<Child>();
  child->pidfd.Reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!child->pidfd.valid()) return;
  child->key = loop_.Add(child->pidfd.get(), [this, child, pid] {
    int ended = 0;
    if (waitpid(pid, &ended, WNOHANG) != 0) {
      loop_.Remove(child->key);
    } else {
      loop_.Arm(child->key, EPOLLIN);
    }
  });
  loop_.Arm(child->key, EPOLLIN);
}

std::shared_ptr<ShimClient::Connection> ShimClient::Keep(const std::string& id, UniqueFd socket) {
  auto connection = std::make_shared<Connection>();
  connection->id = id;
  connection->socket = std::move(socket);
  std::weak_ptr<Connection> weak = connection;
  connection->key = loop_.Add(connection->socket.get(), [this, weak] {
    if (std::shared_ptr<Connection> alive = weak.lock()) Receive(alive);
  });
  Disconnect(id);
  {
    absl::MutexLock lock(&mu_);
    connections_[id] = connection;
  }
  loop_.Arm(connection->key, EPOLLIN);
  return connection;
}

absl::StatusOr<shim::Message> ShimClient::Connect(const std::string& id,
                                                  const std::string& run_dir) {
  ASSIGN_OR_RETURN(UniqueFd socket, shim::ConnectShim(run_dir));
  std::shared_ptr<Connection> connection = Keep(id, std::move(socket));
  absl::StatusOr<ShimAnswer> state =
      Exchange(*connection, {.kind = shim::RequestKind::kSubscribe}, {});
  if (!state.ok()) {
    Disconnect(id);
    return state.status();
  }
  return state->message;
}

void ShimClient::Disconnect(const std::string& id) {
  std::shared_ptr<Connection> connection;
  {
    absl::MutexLock lock(&mu_);
    auto found = connections_.find(id);
    if (found == connections_.end()) return;
    connection = std::move(found->second);
    connections_.erase(found);
  }
  loop_.Remove(connection->key);
  absl::MutexLock lock(&connection->mu);
  connection->closed = true;
}

std::shared_ptr<ShimClient::Connection> ShimClient::Find(const std::string& id) {
  absl::MutexLock lock(&mu_);
  auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

absl::StatusOr<ShimAnswer> ShimClient::Call(const std::string& id, shim::Request request,
                                            std::span<const int> fds) {
  std::shared_ptr<Connection> connection = Find(id);
  if (connection == nullptr) return absl::UnavailableError("no shim is connected");
  return Exchange(*connection, std::move(request), fds);
}

absl::StatusOr<ShimAnswer> ShimClient::Exchange(Connection& connection, shim::Request request,
                                                std::span<const int> fds) {
  absl::Time deadline = clock_.Now() + kAnswerTimeout;
  {
    absl::MutexLock lock(&connection.mu);
    if (connection.closed) return absl::UnavailableError("the shim is gone");
    request.id = connection.next_request++;
    connection.answers[request.id] = nullptr;
  }
  auto forget = [&] {
    absl::MutexLock lock(&connection.mu);
    connection.answers.erase(request.id);
  };
  std::string packet = shim::EncodeRequest(request);
  while (true) {
    absl::Status sent = shim::SendPacket(connection.socket.get(), packet, fds);
    if (sent.ok()) break;
    if (!absl::IsUnavailable(sent) || clock_.Now() >= deadline) {
      forget();
      return Annotate(sent, "asking the shim");
    }
    pollfd wait{.fd = connection.socket.get(), .events = POLLOUT};
    if (poll(&wait, 1, 1000) > 0 && (wait.revents & (POLLERR | POLLHUP)) != 0) {
      forget();
      return absl::UnavailableError("the shim is gone");
    }
  }
  std::unique_ptr<ShimAnswer> answer;
  {
    absl::MutexLock lock(&connection.mu);
    auto answered = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return connection.closed || connection.answers[request.id] != nullptr;
    };
    connection.mu.AwaitWithTimeout(absl::Condition(&answered), deadline - clock_.Now());
    answer = std::move(connection.answers[request.id]);
    connection.answers.erase(request.id);
    if (answer == nullptr) {
      return connection.closed
                 ? absl::UnavailableError("the shim is gone")
                 : absl::DeadlineExceededError("the shim did not answer within ten seconds");
    }
  }
  if (answer->message.kind == shim::MessageKind::kFailed) {
    return FailureStatus(answer->message.failure);
  }
  return std::move(*answer);
}

void ShimClient::Receive(const std::shared_ptr<Connection>& connection) {
  while (true) {
    absl::StatusOr<shim::Packet> packet = shim::ReceivePacket(connection->socket.get());
    if (!packet.ok() && absl::IsUnavailable(packet.status())) {
      loop_.Arm(connection->key, EPOLLIN);
      return;
    }
    absl::StatusOr<shim::Message> message = absl::UnavailableError("closed");
    if (packet.ok() && !packet->bytes.empty()) message = shim::DecodeMessage(packet->bytes);
    if (!message.ok()) break;
    if (message->request_id != 0) {
      absl::MutexLock lock(&connection->mu);
      auto waiting = connection->answers.find(message->request_id);
      if (waiting != connection->answers.end()) {
        waiting->second =
            std::make_unique<ShimAnswer>(ShimAnswer{*std::move(message), std::move(packet->fds)});
      }
      continue;
    }
    events_.message(connection->id, *message);
  }
  loop_.Remove(connection->key);
  bool told = false;
  {
    absl::MutexLock lock(&connection->mu);
    told = std::exchange(connection->closed, true);
  }
  {
    absl::MutexLock lock(&mu_);
    auto found = connections_.find(connection->id);
    if (found != connections_.end() && found->second == connection) connections_.erase(found);
  }
  if (!told) events_.closed(connection->id);
}

absl::Status FailureStatus(const shim::Failure& failure) {
  std::string sentence = failure.message;
  if (sentence.empty()) sentence = absl::ErrnoToStatus(failure.error, failure.step).ToString();
  if (!failure.reason.empty()) {
    return WithReason(absl::InvalidArgumentError(sentence), failure.reason);
  }
  absl::StatusCode code = absl::ErrnoToStatusCode(failure.error);
  switch (code) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnknown:
    // A caller would take these for "no such container" and the like.
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnavailable:
      code = absl::StatusCode::kFailedPrecondition;
      break;
    default:
      break;
  }
  return absl::Status(code, sentence);
}

}  // namespace darse::runtime
