#include "tools/darse/session/connection.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "tools/darse/session/grpc_socket.h"

namespace darse::client {
namespace {

using google::protobuf::MessageLite;

constexpr char kHealthMethod[] = "/grpc.health.v1.Health/Check";
// HealthCheckResponse with status = SERVING.
constexpr absl::string_view kServing("\x08\x01", 2);
constexpr absl::Duration kQuietTime = absl::Seconds(2);

// What says that nobody is there, in the words that the client has for it.
absl::Status Translate(const absl::Status& status) {
  if (absl::IsPermissionDenied(status) && Reason(status).empty() &&
      absl::EndsWith(status.message(), ": Permission denied")) {
    return absl::PermissionDeniedError(
        "you may not use Darse's sockets: run as root, or as a member of the group darse");
  }
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
  const std::string reason = Reason(status);
  // Its own errors of these codes have a reason, or tell of a peer of the peer.
  if (!reason.empty() && reason != kConnectionLost) return status;
  return WithReason(absl::UnavailableError(absl::IsDeadlineExceeded(status) ? "it does not answer"
                                                                            : status.message()),
                    kServiceMissing);
}

absl::Status NoAnswer() {
  return WithReason(absl::UnavailableError("it does not answer"), kServiceMissing);
}

class SocketStream final : public Stream {
 public:
  explicit SocketStream(absl::StatusOr<std::unique_ptr<GrpcSocket>> socket)
      : status_(socket.status()) {
    if (socket.ok()) socket_ = *std::move(socket);
  }

  bool Write(const MessageLite& message) override {
    return socket_ != nullptr && socket_->Write(message.SerializeAsString());
  }
  void WritesDone() override {
    if (socket_ != nullptr) socket_->WritesDone();
  }
  bool Read(MessageLite& message) override {
    std::string bytes;
    if (socket_ == nullptr || !socket_->Read(bytes)) return false;
    if (message.ParseFromString(bytes)) return true;
    status_ = absl::InternalError("an answer cannot be understood");
    socket_->Cancel();
    return false;
  }
  absl::Status Finish() override {
    if (socket_ == nullptr) return Translate(status_);
    absl::Status finished = socket_->Finish();
    return status_.ok() ? Translate(finished) : status_;
  }
  void Cancel() override {
    if (socket_ != nullptr) socket_->Cancel();
  }

 private:
  std::unique_ptr<GrpcSocket> socket_;
  absl::Status status_;
};

}  // namespace

Connection::Connection(absl::string_view service, absl::string_view socket_path)
    : service_(service), socket_path_(socket_path) {}

Connection::~Connection() = default;

absl::StatusOr<std::unique_ptr<GrpcSocket>> Connection::Take() {
  for (;;) {
    std::unique_ptr<GrpcSocket> free;
    {
      absl::MutexLock lock(&mu_);
      if (free_.empty()) break;
      free = std::move(free_.back());
      free_.pop_back();
    }
    if (free->IsFree()) return free;
  }
  return GrpcSocket::Open(socket_path_);
}

void Connection::PutBack(std::unique_ptr<GrpcSocket> socket) {
  absl::MutexLock lock(&mu_);
  free_.push_back(std::move(socket));
}

absl::Status Connection::Call(const char* method, const MessageLite& request, MessageLite& response,
                              absl::Duration timeout) {
  absl::StatusOr<std::unique_ptr<GrpcSocket>> taken = Take();
  if (!taken.ok()) return Translate(taken.status());
  GrpcSocket& call = **taken;
  const absl::Time deadline = absl::Now() + timeout;
  call.Begin(method, timeout);
  call.Write(request.SerializeAsString());
  call.WritesDone();
  while (!call.AwaitRead(std::min(deadline, absl::Now() + kQuietTime))) {
    if (absl::Now() >= deadline ||
        (!CheckHealth(kQuietTime).ok() && !call.AwaitRead(absl::Now()))) {
      call.Cancel();
      call.Finish().IgnoreError();
      return NoAnswer();
    }
  }
  std::string bytes;
  const bool answered = call.Read(bytes);
  absl::Status status = call.Finish();
  PutBack(*std::move(taken));
  if (!status.ok()) return Translate(status);
  if (!answered || !response.ParseFromString(bytes)) {
    return absl::InternalError("an answer cannot be understood");
  }
  return absl::OkStatus();
}

std::unique_ptr<Stream> Connection::Open(const char* method) {
  absl::StatusOr<std::unique_ptr<GrpcSocket>> socket = Take();
  if (socket.ok()) (*socket)->Begin(method, absl::InfiniteDuration());
  return std::make_unique<SocketStream>(std::move(socket));
}

absl::Status Connection::CheckHealth(absl::Duration timeout) {
  absl::StatusOr<std::unique_ptr<GrpcSocket>> taken = Take();
  if (!taken.ok()) return Translate(taken.status());
  GrpcSocket& call = **taken;
  call.Begin(kHealthMethod, timeout);
  // An empty message is a HealthCheckRequest for the whole server.
  call.Write("");
  call.WritesDone();
  if (!call.AwaitRead(absl::Now() + timeout)) {
    call.Cancel();
    call.Finish().IgnoreError();
    return NoAnswer();
  }
  std::string answer;
  call.Read(answer);
  absl::Status status = call.Finish();
  PutBack(*std::move(taken));
  if (!status.ok()) return Translate(status);
  if (answer == kServing) return absl::OkStatus();
  return WithReason(absl::UnavailableError("it says that it is not serving"), kServiceMissing);
}

}  // namespace darse::client
