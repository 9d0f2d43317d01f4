#include "services/scheduler/peers/builder_client.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"

namespace darse::scheduler {
namespace {

using namespace builder::v1;  // NOLINT: every name here is the builder's

constexpr absl::Duration kQuick = absl::Seconds(15);
constexpr absl::Duration kUpload = absl::Minutes(30);
constexpr size_t kChunk = 1 << 20;

}  // namespace

// A context that Cancel() reaches while the call lasts.
class ActiveBuildCall {
 public:
  explicit ActiveBuildCall(BuilderClient& client) : client_(client) {
    absl::MutexLock lock(&client_.mu_);
    client_.contexts_.insert(&context);
    if (client_.canceled_) context.TryCancel();
  }
  ~ActiveBuildCall() {
    absl::MutexLock lock(&client_.mu_);
    client_.contexts_.erase(&context);
  }
  ActiveBuildCall(const ActiveBuildCall&) = delete;

  grpc::ClientContext context;

 private:
  BuilderClient& client_;
};

void BuilderClient::Cancel() {
  absl::MutexLock lock(&mu_);
  canceled_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
}

absl::Status BuilderClient::Ended(const grpc::Status& status) {
  absl::Status answer = rpc::FromGrpc(status);
  link_.Observe(answer);
  if (!rpc::PeerIsMissing(answer)) return answer;
  const absl::Status missing = link_.Check();
  return missing.ok() ? absl::UnavailableError(answer.message()) : missing;
}

absl::StatusOr<bool> BuilderClient::HasContext(absl::string_view digest) {
  ActiveBuildCall call(*this);
  rpc::SetTimeout(call.context, kQuick);
  HasContextRequest request;
  HasContextResponse response;
  request.add_digests(std::string(digest));
  RETURN_IF_ERROR(Ended(stub_->HasContext(&call.context, request, &response)));
  return response.missing_digests().empty();
}

absl::Status BuilderClient::UploadContext(absl::string_view digest, absl::string_view path) {
  UniqueFd fd(open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
  ActiveBuildCall call(*this);
  rpc::SetTimeout(call.context, kUpload);
  UploadContextResponse response;
  auto writer = stub_->UploadContext(&call.context, &response);
  UploadContextRequest request;
  request.set_digest(std::string(digest));
  for (;;) {
    std::string& chunk = *request.mutable_chunk();
    chunk.resize(kChunk);
    const ssize_t got = read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      call.context.TryCancel();
      writer->Finish();
      return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
    }
    chunk.resize(got);
    // An empty context is one message too.
    if (got == 0 && request.digest().empty()) break;
    if (!writer->Write(request)) break;
    if (got == 0) break;
    request.clear_digest();
  }
  writer->WritesDone();
  return Ended(writer->Finish());
}

absl::StatusOr<Build> BuilderClient::CreateBuild(const BuildSpec& spec,
                                                 absl::string_view request_id) {
  ActiveBuildCall call(*this);
  rpc::SetTimeout(call.context, kQuick);
  CreateBuildRequest request;
  CreateBuildResponse response;
  *request.mutable_spec() = spec;
  request.set_request_id(std::string(request_id));
  RETURN_IF_ERROR(Ended(stub_->CreateBuild(&call.context, request, &response)));
  return response.build();
}

absl::StatusOr<Build> BuilderClient::GetBuild(absl::string_view id) {
  ActiveBuildCall call(*this);
  rpc::SetTimeout(call.context, kQuick);
  GetBuildRequest request;
  GetBuildResponse response;
  request.set_id(std::string(id));
  RETURN_IF_ERROR(Ended(stub_->GetBuild(&call.context, request, &response)));
  return response.build();
}

absl::Status BuilderClient::WatchBuild(absl::string_view id, int64_t after_sequence,
                                       const std::function<void(const BuildEvent&)>& on_event) {
  ActiveBuildCall call(*this);
  WatchBuildRequest request;
  request.set_id(std::string(id));
  request.set_after_sequence(after_sequence);
  auto reader = stub_->WatchBuild(&call.context, request);
  WatchBuildResponse response;
  while (reader->Read(&response)) {
    for (const BuildEvent& event : response.events()) on_event(event);
  }
  return Ended(reader->Finish());
}

}  // namespace darse::scheduler
