#include "services/runtime/rpc/snapshot_rpc.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/status.h"

namespace darse::runtime {
namespace {

std::vector<std::string> ToVector(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return {field.begin(), field.end()};
}

std::optional<OwnerNames> ToOwner(bool present, const v1::FileOwner& owner) {
  if (!present) return std::nullopt;
  return OwnerNames{.user = owner.user(), .group = owner.group()};
}

absl::Status Write(SnapshotFiles& files, grpc::ServerContext& context,
                   grpc::ServerReader<v1::WriteFilesRequest>& reader) {
  v1::WriteFilesRequest message;
  if (!reader.Read(&message) || !message.has_start()) {
    return absl::InvalidArgumentError("the first message must be `start`");
  }
  const v1::WriteFilesRequest::Start& start = message.start();
  ASSIGN_OR_RETURN(std::unique_ptr<WriteSession> session,
                   files.StartWrite({.snapshot_id = start.snapshot_id(),
                                     .destination = start.destination(),
                                     .owner = ToOwner(start.has_owner(), start.owner()),
                                     .mode = start.mode(),
                                     .keep_owners = start.keep_owners(),
                                     .detect_compression = start.detect_compression()}));
  while (reader.Read(&message)) {
    if (message.has_start()) return absl::InvalidArgumentError("`start` came twice");
    RETURN_IF_ERROR(session->Write(message.chunk()));
  }
  // A stream that broke is no end of the tar.
  if (context.IsCancelled()) return absl::CancelledError("the client went away");
  return session->Finish();
}

}  // namespace

grpc::Status SnapshotRpc::AcquireLease(grpc::ServerContext*, const v1::AcquireLeaseRequest* request,
                                       v1::AcquireLeaseResponse*) {
  std::optional<absl::Time> expires_at;
  if (request->has_expire_time()) {
    expires_at = absl::FromUnixSeconds(request->expire_time().seconds()) +
                 absl::Nanoseconds(request->expire_time().nanos());
  }
  return rpc::ToGrpc(snapshots_.AcquireLease(request->lease(), expires_at));
}

grpc::Status SnapshotRpc::UpdateLease(grpc::ServerContext*, const v1::UpdateLeaseRequest* request,
                                      v1::UpdateLeaseResponse*) {
  return rpc::ToGrpc(snapshots_.UpdateLease(
      request->lease(), {.add_chain_ids = ToVector(request->add_chain_ids()),
                         .remove_chain_ids = ToVector(request->remove_chain_ids()),
                         .add_image_ids = ToVector(request->add_image_ids()),
                         .remove_image_ids = ToVector(request->remove_image_ids())}));
}

grpc::Status SnapshotRpc::ReleaseLease(grpc::ServerContext*, const v1::ReleaseLeaseRequest* request,
                                       v1::ReleaseLeaseResponse*) {
  return rpc::ToGrpc(snapshots_.ReleaseLease(request->lease()));
}

grpc::Status SnapshotRpc::HasLayers(grpc::ServerContext*, const v1::HasLayersRequest* request,
                                    v1::HasLayersResponse* response) {
  absl::StatusOr<std::vector<std::string>> missing =
      snapshots_.Missing(ToVector(request->chain_ids()));
  if (!missing.ok()) return rpc::ToGrpc(missing.status());
  for (std::string& chain_id : *missing) response->add_missing_chain_ids(std::move(chain_id));
  return grpc::Status::OK;
}

grpc::Status SnapshotRpc::PrepareSnapshot(grpc::ServerContext*,
                                          const v1::PrepareSnapshotRequest* request,
                                          v1::PrepareSnapshotResponse* response) {
  absl::StatusOr<std::string> id =
      snapshots_.PrepareForLease(request->lease(), request->parent_chain_id());
  if (!id.ok()) return rpc::ToGrpc(id.status());
  response->set_snapshot_id(*std::move(id));
  return grpc::Status::OK;
}

grpc::Status SnapshotRpc::CommitSnapshot(grpc::ServerContext*,
                                         const v1::CommitSnapshotRequest* request,
                                         v1::CommitSnapshotResponse* response) {
  absl::StatusOr<std::optional<CommittedLayer>> layer =
      snapshots_.Commit(request->snapshot_id(), request->lease(), request->clamp_time_seconds());
  if (!layer.ok()) return rpc::ToGrpc(layer.status());
  if (*layer) {
    v1::Layer* out = response->mutable_layer();
    out->set_diff_id((*layer)->diff_id.text());
    out->set_chain_id((*layer)->chain_id);
    out->set_digest((*layer)->diff_id.text());
    out->set_size_bytes((*layer)->tar_bytes);
    Log(LogLevel::kInfo, "layer committed", {{"layer", (*layer)->chain_id}});
  }
  return grpc::Status::OK;
}

grpc::Status SnapshotRpc::DeleteSnapshot(grpc::ServerContext*,
                                         const v1::DeleteSnapshotRequest* request,
                                         v1::DeleteSnapshotResponse*) {
  return rpc::ToGrpc(snapshots_.DeleteLeased(request->snapshot_id()));
}

grpc::Status SnapshotRpc::WriteFiles(grpc::ServerContext* context,
                                     grpc::ServerReader<v1::WriteFilesRequest>* reader,
                                     v1::WriteFilesResponse*) {
  return rpc::ToGrpc(Write(files_, *context, *reader));
}

grpc::Status SnapshotRpc::CopyFiles(grpc::ServerContext*, const v1::CopyFilesRequest* request,
                                    v1::CopyFilesResponse*) {
  return rpc::ToGrpc(files_.Copy({.source_chain_id = request->source_chain_id(),
                                  .sources = ToVector(request->sources()),
                                  .snapshot_id = request->snapshot_id(),
                                  .destination = request->destination(),
                                  .owner = ToOwner(request->has_owner(), request->owner()),
                                  .mode = request->mode()}));
}

grpc::Status SnapshotRpc::DigestFiles(grpc::ServerContext*, const v1::DigestFilesRequest* request,
                                      v1::DigestFilesResponse* response) {
  absl::StatusOr<std::string> digest =
      files_.Digest(request->chain_id(), ToVector(request->paths()));
  if (!digest.ok()) return rpc::ToGrpc(digest.status());
  response->set_digest(*std::move(digest));
  return grpc::Status::OK;
}

grpc::Status SnapshotRpc::ReadFile(grpc::ServerContext*, const v1::ReadFileRequest* request,
                                   v1::ReadFileResponse* response) {
  absl::StatusOr<std::string> content =
      request->root_case() == v1::ReadFileRequest::kSnapshotId
          ? files_.ReadFromSnapshot(request->snapshot_id(), request->path())
          : files_.ReadFromLayers(request->chain_id(), request->path());
  if (!content.ok()) return rpc::ToGrpc(content.status());
  response->set_content(*std::move(content));
  return grpc::Status::OK;
}

}  // namespace darse::runtime
