// VolumeService over VolumeEngine.
#pragma once

#include "darse/runtime/v1/volume_service.grpc.pb.h"
#include "services/runtime/volumes/volume_engine.h"

namespace darse::runtime {

// Thread-safe.
class VolumeRpc final : public v1::VolumeService::Service {
 public:
  explicit VolumeRpc(VolumeEngine& engine) : engine_(engine) {}

  grpc::Status CreateVolume(grpc::ServerContext* context, const v1::CreateVolumeRequest* request,
                            v1::CreateVolumeResponse* response) override;
  grpc::Status GetVolume(grpc::ServerContext* context, const v1::GetVolumeRequest* request,
                         v1::GetVolumeResponse* response) override;
  grpc::Status ListVolumes(grpc::ServerContext* context, const v1::ListVolumesRequest* request,
                           v1::ListVolumesResponse* response) override;
  grpc::Status DeleteVolume(grpc::ServerContext* context, const v1::DeleteVolumeRequest* request,
                            v1::DeleteVolumeResponse* response) override;
  grpc::Status PruneVolumes(grpc::ServerContext* context, const v1::PruneVolumesRequest* request,
                            v1::PruneVolumesResponse* response) override;

 private:
  VolumeEngine& engine_;
};

}  // namespace darse::runtime
