#include "services/builder/runtime_client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"

namespace darse::builder {
namespace {

namespace v1 = runtime::v1;

// For what only touches rows; and for what reads and writes files, as many as there may be.
constexpr absl::Duration kShort = absl::Seconds(30);
constexpr absl::Duration kLong = absl::Hours(1);
// A wait for an exit is asked again after this.
constexpr absl::Duration kWait = absl::Minutes(5);

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  proto.set_seconds(absl::ToUnixSeconds(time));
  proto.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(proto.seconds()))));
  return proto;
}

absl::Time FromProto(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

// A context with a deadline.
class Context {
 public:
  explicit Context(absl::Duration timeout) { rpc::SetTimeout(context_, timeout); }
  operator grpc::ClientContext*() { return &context_; }

 private:
  grpc::ClientContext context_;
};

void SetOwner(absl::string_view user, absl::string_view group, v1::FileOwner* owner) {
  owner->set_user(std::string(user));
  owner->set_group(std::string(group));
}

}  // namespace

RuntimeClient::RuntimeClient(rpc::PeerLink& link, std::function<std::string()> new_id)
    : link_(link),
      new_id_(std::move(new_id)),
      images_(v1::ImageService::NewStub(link.channel())),
      snapshots_(v1::SnapshotService::NewStub(link.channel())),
      containers_(v1::ContainerService::NewStub(link.channel())) {}

absl::Status RuntimeClient::Ended(const grpc::Status& status) {
  absl::Status ended = rpc::FromGrpc(status);
  link_.Observe(ended);
  if (ended.ok() || rpc::PeerIsMissing(ended)) return ended;
  // The runtime is there and says that something else is not: waiting for the runtime would not
  // help.
  if (IsAway(ended)) return absl::InternalError(ended.message());
  return ended;
}

std::optional<absl::Time> RuntimeClient::MissingSince() { return link_.MissingSince(); }

bool RuntimeClient::WaitUntilPresent(absl::Time deadline) {
  return link_.WaitUntilPresent(deadline);
}

absl::StatusOr<BaseImage> RuntimeClient::GetImage(absl::string_view reference) {
  v1::GetImageRequest request;
  request.set_image(std::string(reference));
  v1::GetImageResponse response;
  RETURN_IF_ERROR(Ended(images_->GetImage(Context(kShort), request, &response)));
  BaseImage image{.id = response.image().id(), .config_json = response.image().config_json()};
  if (response.image().layers_size() > 0) {
    image.chain_id = response.image().layers(response.image().layers_size() - 1).chain_id();
  }
  return image;
}

absl::StatusOr<std::string> RuntimeClient::CreateImage(absl::string_view config_json,
                                                       absl::string_view chain_id,
                                                       const std::vector<std::string>& references) {
  v1::CreateImageRequest request;
  request.set_config_json(std::string(config_json));
  request.set_layer_chain_id(std::string(chain_id));
  for (const std::string& reference : references) request.add_references(reference);
  v1::CreateImageResponse response;
  RETURN_IF_ERROR(Ended(images_->CreateImage(Context(kLong), request, &response)));
  return response.image().id();
}

absl::Status RuntimeClient::AcquireLease(absl::string_view lease,
                                         std::optional<absl::Time> expires) {
  v1::AcquireLeaseRequest request;
  request.set_lease(std::string(lease));
  if (expires) *request.mutable_expire_time() = ToProto(*expires);
  v1::AcquireLeaseResponse response;
  return Ended(snapshots_->AcquireLease(Context(kShort), request, &response));
}

absl::Status RuntimeClient::UpdateLease(absl::string_view lease, const LeaseChange& change) {
  v1::UpdateLeaseRequest request;
  request.set_lease(std::string(lease));
  for (const std::string& id : change.add_chain_ids) request.add_add_chain_ids(id);
  for (const std::string& id : change.remove_chain_ids) request.add_remove_chain_ids(id);
  for (const std::string& id : change.add_image_ids) request.add_add_image_ids(id);
  v1::UpdateLeaseResponse response;
  return Ended(snapshots_->UpdateLease(Context(kShort), request, &response));
}

absl::Status RuntimeClient::ReleaseLease(absl::string_view lease) {
  v1::ReleaseLeaseRequest request;
  request.set_lease(std::string(lease));
  v1::ReleaseLeaseResponse response;
  absl::Status released = Ended(snapshots_->ReleaseLease(Context(kShort), request, &response));
  return absl::IsNotFound(released) ? absl::OkStatus() : released;
}

absl::StatusOr<std::vector<std::string>> RuntimeClient::MissingLayers(
    const std::vector<std::string>& chain_ids) {
  v1::HasLayersRequest request;
  for (const std::string& id : chain_ids) request.add_chain_ids(id);
  v1::HasLayersResponse response;
  RETURN_IF_ERROR(Ended(snapshots_->HasLayers(Context(kShort), request, &response)));
  return std::vector<std::string>(response.missing_chain_ids().begin(),
                                  response.missing_chain_ids().end());
}

absl::StatusOr<std::string> RuntimeClient::PrepareSnapshot(absl::string_view lease,
                                                           absl::string_view parent_chain_id) {
  v1::PrepareSnapshotRequest request;
  request.set_lease(std::string(lease));
  request.set_parent_chain_id(std::string(parent_chain_id));
  v1::PrepareSnapshotResponse response;
  RETURN_IF_ERROR(Ended(snapshots_->PrepareSnapshot(Context(kShort), request, &response)));
  return response.snapshot_id();
}

absl::StatusOr<std::optional<NewLayer>> RuntimeClient::CommitSnapshot(absl::string_view snapshot_id,
                                                                      absl::string_view lease,
                                                                      int64_t clamp_time_seconds) {
  v1::CommitSnapshotRequest request;
  request.set_snapshot_id(std::string(snapshot_id));
  request.set_lease(std::string(lease));
  request.set_clamp_time_seconds(clamp_time_seconds);
  v1::CommitSnapshotResponse response;
  RETURN_IF_ERROR(Ended(snapshots_->CommitSnapshot(Context(kLong), request, &response)));
  if (!response.has_layer()) return std::nullopt;
  return NewLayer{.diff_id = response.layer().diff_id(),
                  .chain_id = response.layer().chain_id(),
                  .size_bytes = response.layer().size_bytes()};
}

absl::Status RuntimeClient::DeleteSnapshot(absl::string_view snapshot_id) {
  v1::DeleteSnapshotRequest request;
  request.set_snapshot_id(std::string(snapshot_id));
  v1::DeleteSnapshotResponse response;
  return Ended(snapshots_->DeleteSnapshot(Context(kShort), request, &response));
}

absl::Status RuntimeClient::WriteFiles(const FileWrite& write, archive::ChunkSource& tar) {
  v1::WriteFilesRequest message;
  v1::WriteFilesRequest::Start& start = *message.mutable_start();
  start.set_snapshot_id(write.snapshot_id);
  start.set_destination(write.destination);
  if (!write.user.empty()) SetOwner(write.user, write.group, start.mutable_owner());
  start.set_mode(write.mode);
  start.set_keep_owners(write.is_archive && write.user.empty());
  start.set_detect_compression(write.is_archive);
  v1::WriteFilesResponse response;
  Context context(kLong);
  std::unique_ptr<grpc::ClientWriter<v1::WriteFilesRequest>> stream =
      snapshots_->WriteFiles(context, &response);
  bool open = stream->Write(message);
  absl::Status read;
  while (open) {
    absl::StatusOr<absl::string_view> chunk = tar.Next();
    read = chunk.status();
    if (!read.ok() || chunk->empty()) break;
    message.set_chunk(std::string(*chunk));
    open = stream->Write(message);
  }
  // Without its end the runtime must not take what it got for a whole.
  if (!read.ok()) static_cast<grpc::ClientContext*>(context)->TryCancel();
  stream->WritesDone();
  absl::Status written = Ended(stream->Finish());
  return read.ok() ? written : read;
}

absl::Status RuntimeClient::CopyFiles(const FileCopy& copy) {
  v1::CopyFilesRequest request;
  request.set_source_chain_id(copy.source_chain_id);
  for (const std::string& source : copy.sources) request.add_sources(source);
  request.set_snapshot_id(copy.snapshot_id);
  request.set_destination(copy.destination);
  // As in docker: files keep their owners unless --chown says otherwise.
  if (!copy.user.empty()) SetOwner(copy.user, copy.group, request.mutable_owner());
  request.set_mode(copy.mode);
  v1::CopyFilesResponse response;
  return Ended(snapshots_->CopyFiles(Context(kLong), request, &response));
}

absl::StatusOr<std::string> RuntimeClient::DigestFiles(absl::string_view chain_id,
                                                       const std::vector<std::string>& paths) {
  v1::DigestFilesRequest request;
  request.set_chain_id(std::string(chain_id));
  for (const std::string& path : paths) request.add_paths(path);
  v1::DigestFilesResponse response;
  RETURN_IF_ERROR(Ended(snapshots_->DigestFiles(Context(kLong), request, &response)));
  return response.digest();
}

absl::StatusOr<FileKind> RuntimeClient::Probe(absl::string_view snapshot_id,
                                              absl::string_view path) {
  v1::ReadFileRequest request;
  request.set_snapshot_id(std::string(snapshot_id));
  request.set_path(std::string(path));
  v1::ReadFileResponse response;
  absl::Status read = Ended(snapshots_->ReadFile(Context(kShort), request, &response));
  // A file too large to be read is one all the same.
  if (read.ok() || absl::IsOutOfRange(read)) return FileKind::kFile;
  if (absl::IsNotFound(read)) return FileKind::kNothing;
  if (absl::IsFailedPrecondition(read)) return FileKind::kOther;
  return read;
}

absl::StatusOr<std::string> RuntimeClient::StartRun(const RunRequest& run) {
  v1::RunContainerRequest request;
  v1::ContainerSpec& spec = *request.mutable_spec();
  spec.set_snapshot_id(run.snapshot_id);
  for (const std::string& arg : run.args) spec.mutable_entrypoint()->add_args(arg);
  spec.mutable_command();
  for (const std::string& variable : run.env) spec.add_env(variable);
  spec.set_working_dir(run.working_dir);
  spec.set_user(run.user);
  // The same in every build: some programs write it into what they make.
  spec.set_hostname("darse-build");
  for (const auto& [key, value] : run.labels) (*spec.mutable_labels())[key] = value;
  spec.set_network_mode(run.network == "none"   ? v1::NETWORK_MODE_NONE
                        : run.network == "host" ? v1::NETWORK_MODE_HOST
                                                : v1::NETWORK_MODE_BRIDGE);
  spec.mutable_healthcheck()->add_test("NONE");
  request.set_request_id(new_id_());
  v1::RunContainerResponse response;
  RETURN_IF_ERROR(Ended(containers_->RunContainer(Context(absl::Minutes(2)), request, &response)));
  return response.container().id();
}

absl::Status RuntimeClient::FollowOutput(absl::string_view container_id, absl::Time after,
                                         absl::FunctionRef<void(const RunOutput&)> take,
                                         Cancellation& cancellation) {
  v1::ReadLogsRequest request;
  request.set_container(std::string(container_id));
  request.set_follow(true);
  request.set_tail(-1);
  if (after != absl::InfinitePast())
    *request.mutable_since() = ToProto(after + absl::Nanoseconds(1));
  grpc::ClientContext context;
  Cancellation::Listener listener(cancellation, [&context] { context.TryCancel(); });
  std::unique_ptr<grpc::ClientReader<v1::ReadLogsResponse>> stream =
      containers_->ReadLogs(&context, request);
  v1::ReadLogsResponse response;
  while (stream->Read(&response)) {
    RunOutput output;
    for (const v1::LogLine& line : response.lines()) {
      bool is_stderr = line.stream() == v1::STREAM_STDERR;
      if (is_stderr != output.is_stderr && !output.text.empty()) {
        take(output);
        output.text.clear();
      }
      output.is_stderr = is_stderr;
      output.time = FromProto(line.time());
      absl::StrAppend(&output.text, line.text(), line.partial() ? "" : "\n");
    }
    if (!output.text.empty()) take(output);
  }
  absl::Status ended = rpc::FromGrpc(stream->Finish());
  if (cancellation.canceled()) return absl::CancelledError("the build was canceled");
  link_.Observe(ended);
  return ended;
}

absl::StatusOr<RunExit> RuntimeClient::WaitExit(absl::string_view container_id,
                                                Cancellation& cancellation) {
  v1::WaitContainerRequest request;
  request.set_container(std::string(container_id));
  request.set_condition(v1::WaitContainerRequest::NOT_RUNNING);
  while (true) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kWait);
    Cancellation::Listener listener(cancellation, [&context] { context.TryCancel(); });
    v1::WaitContainerResponse response;
    absl::Status ended = rpc::FromGrpc(containers_->WaitContainer(&context, request, &response));
    if (cancellation.canceled()) return absl::CancelledError("the build was canceled");
    // It runs for longer, or the runtime stands still: the link knows.
    if (absl::IsDeadlineExceeded(ended) && !link_.MissingSince()) continue;
    link_.Observe(ended);
    RETURN_IF_ERROR(ended);
    return RunExit{.code = response.exit_code(), .oom_killed = response.oom_killed()};
  }
}

absl::Status RuntimeClient::DeleteContainer(absl::string_view container_id) {
  v1::DeleteContainerRequest request;
  request.set_container(std::string(container_id));
  request.set_force(true);
  request.set_delete_volumes(true);
  v1::DeleteContainerResponse response;
  absl::Status deleted =
      Ended(containers_->DeleteContainer(Context(absl::Minutes(2)), request, &response));
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

absl::StatusOr<std::vector<std::string>> RuntimeClient::ListContainers(absl::string_view label) {
  v1::ListContainersRequest request;
  request.add_labels(std::string(label));
  std::vector<std::string> ids;
  do {
    v1::ListContainersResponse response;
    RETURN_IF_ERROR(Ended(containers_->ListContainers(Context(kShort), request, &response)));
    for (const v1::Container& container : response.containers()) ids.push_back(container.id());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return ids;
}

}  // namespace darse::builder
