#include "tools/darse/session/connection.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/rpc_method.h>
#include <grpcpp/support/sync_stream.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "libs/base/reason.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"

namespace darse::client {
namespace {

using google::protobuf::MessageLite;

constexpr char kHealthMethod[] = "/grpc.health.v1.Health/Check";
// HealthCheckResponse with status = SERVING.
constexpr absl::string_view kServing("\x08\x01", 2);
constexpr absl::Duration kQuietTime = absl::Seconds(2);

absl::Status Translate(const grpc::Status& status) {
  absl::Status translated = rpc::FromGrpc(status);
  if (!rpc::PeerIsMissing(translated) || !Reason(translated).empty()) return translated;
  // gRPC's own words say more than a person can use.
  std::string why(translated.message());
  if (absl::StrContains(why, "No such file")) why = "there is no socket";
  if (absl::StrContains(why, "Connection refused")) why = "nobody listens";
  if (absl::StrContains(why, "Permission denied")) {
    return absl::PermissionDeniedError(
        "you may not use Darse's sockets: run as root, or as a member of the group darse");
  }
  if (translated.code() == absl::StatusCode::kDeadlineExceeded ||
      absl::StrContains(why, "before receiving SETTINGS")) {
    why = "it does not answer";
  }
  return WithReason(absl::UnavailableError(why), kServiceMissing);
}

gpr_timespec ToGpr(absl::Time time) {
  return grpc::TimePoint<std::chrono::system_clock::time_point>(absl::ToChronoTime(time))
      .raw_time();
}

class SyncStream final : public Stream {
 public:
  SyncStream(std::shared_ptr<grpc::Channel> channel, const char* method)
      : channel_(std::move(channel)),
        method_(method, grpc::internal::RpcMethod::BIDI_STREAMING, channel_),
        stream_(grpc::internal::ClientReaderWriterFactory<MessageLite, MessageLite>::Create(
            channel_.get(), method_, &context_)) {}

  bool Write(const MessageLite& message) override { return stream_->Write(message); }
  void WritesDone() override { stream_->WritesDone(); }
  bool Read(MessageLite& message) override { return stream_->Read(&message); }
  absl::Status Finish() override { return Translate(stream_->Finish()); }
  void Cancel() override { context_.TryCancel(); }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  grpc::internal::RpcMethod method_;
  std::unique_ptr<grpc::ClientReaderWriter<MessageLite, MessageLite>> stream_;
};

// One call in flight. The queue is drained before it goes, also when the call was given up.
class UnaryCall {
 public:
  UnaryCall(const std::shared_ptr<grpc::Channel>& channel, const char* method,
            const grpc::ByteBuffer& request, absl::Time deadline)
      : stub_(channel) {
    if (deadline != absl::InfiniteFuture()) context_.set_deadline(absl::ToChronoTime(deadline));
    call_ = stub_.PrepareUnaryCall(&context_, method, request, &queue_);
    call_->StartCall();
    call_->Finish(&response_, &status_, this);
  }
  ~UnaryCall() {
    if (!done_) {
      context_.TryCancel();
      Wait(absl::InfiniteFuture());
    }
    queue_.Shutdown();
  }

  // True when the answer is there.
  bool Wait(absl::Time until) {
    void* tag;
    bool ok;
    if (queue_.AsyncNext(&tag, &ok, ToGpr(until)) == grpc::CompletionQueue::GOT_EVENT) done_ = true;
    return done_;
  }
  const grpc::Status& status() const { return status_; }
  grpc::ByteBuffer& response() { return response_; }

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
  bool done_ = false;
};

}  // namespace

Connection::Connection(absl::string_view service, absl::string_view socket_path)
    : service_(service), socket_path_(socket_path) {}

Connection::~Connection() = default;

const std::shared_ptr<grpc::Channel>& Connection::channel() {
  if (channel_ == nullptr) channel_ = rpc::UnixChannel(socket_path_);
  return channel_;
}

absl::Status Connection::Call(const char* method, const MessageLite& request, MessageLite& response,
                              absl::Duration timeout) {
  grpc::ByteBuffer bytes;
  bool own_buffer;
  grpc::Status serialized =
      grpc::SerializationTraits<MessageLite>::Serialize(request, &bytes, &own_buffer);
  if (!serialized.ok()) return rpc::FromGrpc(serialized);
  UnaryCall call(channel(), method, bytes, absl::Now() + timeout);
  while (!call.Wait(absl::Now() + kQuietTime)) {
    if (!CheckHealth(kQuietTime).ok()) {
      if (call.Wait(absl::Now())) break;
      return WithReason(absl::UnavailableError("it does not answer"), kServiceMissing);
    }
  }
  if (!call.status().ok()) return Translate(call.status());
  return rpc::FromGrpc(
      grpc::SerializationTraits<MessageLite>::Deserialize(&call.response(), &response));
}

std::unique_ptr<Stream> Connection::Open(const char* method) {
  return std::make_unique<SyncStream>(channel(), method);
}

absl::Status Connection::CheckHealth(absl::Duration timeout) {
  // An empty message is a HealthCheckRequest for the whole server.
  grpc::ByteBuffer empty(nullptr, 0);
  UnaryCall call(channel(), kHealthMethod, empty, absl::Now() + timeout);
  call.Wait(absl::InfiniteFuture());
  if (!call.status().ok()) return Translate(call.status());
  std::vector<grpc::Slice> slices;
  std::string answer;
  if (call.response().Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      answer.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  if (answer == kServing) return absl::OkStatus();
  return WithReason(absl::UnavailableError("it says that it is not serving"), kServiceMissing);
}

}  // namespace darse::client
