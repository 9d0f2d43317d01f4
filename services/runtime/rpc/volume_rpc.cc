#include "services/runtime/rpc/volume_rpc.h"

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "services/runtime/rpc/list_page.h"

namespace darse::runtime {
namespace {

void Encode(const Volume& volume, v1::Volume& proto) {
  proto.set_name(volume.name);
  for (const auto& [key, value] : volume.labels) (*proto.mutable_labels())[key] = value;
  const timespec created = absl::ToTimespec(volume.created_at);
  proto.mutable_create_time()->set_seconds(created.tv_sec);
  proto.mutable_create_time()->set_nanos(static_cast<int32_t>(created.tv_nsec));
  proto.set_mountpoint(volume.mountpoint);
  proto.set_anonymous(volume.anonymous);
  for (const std::string& id : volume.container_ids) proto.add_container_ids(id);
}

}  // namespace

grpc::Status VolumeRpc::CreateVolume(grpc::ServerContext* context,
                                     const v1::CreateVolumeRequest* request,
                                     v1::CreateVolumeResponse* response) {
  absl::StatusOr<Volume> volume = engine_.Create(
      request->name(), {request->labels().begin(), request->labels().end()}, rpc::Actor(*context));
  if (volume.ok()) Encode(*volume, *response->mutable_volume());
  return rpc::ToGrpc(volume.status());
}

grpc::Status VolumeRpc::GetVolume(grpc::ServerContext*, const v1::GetVolumeRequest* request,
                                  v1::GetVolumeResponse* response) {
  absl::StatusOr<Volume> volume = engine_.Get(request->name());
  if (volume.ok()) Encode(*volume, *response->mutable_volume());
  return rpc::ToGrpc(volume.status());
}

grpc::Status VolumeRpc::ListVolumes(grpc::ServerContext*, const v1::ListVolumesRequest* request,
                                    v1::ListVolumesResponse* response) {
  absl::StatusOr<std::vector<Volume>> volumes = engine_.List();
  if (!volumes.ok()) return rpc::ToGrpc(volumes.status());
  const std::vector<std::string> filters(request->labels().begin(), request->labels().end());
  std::erase_if(*volumes, [&](const Volume& volume) { return !HasLabels(volume.labels, filters); });
  std::vector<std::string> names;
  for (const Volume& volume : *volumes) names.push_back(volume.name);
  absl::StatusOr<ListPage> page = PageOf(names, request->page_size(), request->page_token());
  if (!page.ok()) return rpc::ToGrpc(page.status());
  for (size_t i = page->begin; i < page->end; ++i) Encode((*volumes)[i], *response->add_volumes());
  response->set_next_page_token(page->next_page_token);
  return grpc::Status::OK;
}

grpc::Status VolumeRpc::DeleteVolume(grpc::ServerContext* context,
                                     const v1::DeleteVolumeRequest* request,
                                     v1::DeleteVolumeResponse*) {
  return rpc::ToGrpc(engine_.Delete(request->name(), rpc::Actor(*context)));
}

grpc::Status VolumeRpc::PruneVolumes(grpc::ServerContext* context,
                                     const v1::PruneVolumesRequest* request,
                                     v1::PruneVolumesResponse* response) {
  absl::StatusOr<std::vector<std::string>> deleted =
      engine_.Prune(request->all(), rpc::Actor(*context));
  if (!deleted.ok()) return rpc::ToGrpc(deleted.status());
  for (const std::string& name : *deleted) response->add_deleted_names(name);
  return grpc::Status::OK;
}

}  // namespace darse::runtime
