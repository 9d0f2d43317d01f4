// NodeService.
#pragma once

#include <grpcpp/server_context.h>

#include <string>

#include "darse/runtime/v1/node_service.grpc.pb.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/images/image_engine.h"
#include "services/runtime/networks/network_engine.h"
#include "services/runtime/node/node_engine.h"
#include "services/runtime/volumes/volume_engine.h"

namespace darse::runtime {

class NodeRpc final : public v1::NodeService::Service {
 public:
  NodeRpc(NodeEngine& node, ContainerEngine& containers, ImageEngine& images, VolumeEngine& volumes,
          NetworkEngine& networks, std::string data_root);

  grpc::Status GetNode(grpc::ServerContext* context, const v1::GetNodeRequest* request,
                       v1::GetNodeResponse* response) override;
  grpc::Status GetDiskUsage(grpc::ServerContext* context, const v1::GetDiskUsageRequest* request,
                            v1::GetDiskUsageResponse* response) override;

 private:
  absl::Status FillNode(v1::GetNodeResponse& response);
  absl::Status FillUsage(v1::GetDiskUsageResponse& response);

  NodeEngine& node_;
  ContainerEngine& containers_;
  ImageEngine& images_;
  VolumeEngine& volumes_;
  NetworkEngine& networks_;
  const std::string data_root_;
};

}  // namespace darse::runtime
