// NetworkService over NetworkEngine.
#pragma once

#include "darse/runtime/v1/network_service.grpc.pb.h"
#include "services/runtime/networks/network_engine.h"

namespace darse::runtime {

// Thread-safe.
class NetworkRpc final : public v1::NetworkService::Service {
 public:
  explicit NetworkRpc(NetworkEngine& engine) : engine_(engine) {}

  grpc::Status CreateNetwork(grpc::ServerContext* context, const v1::CreateNetworkRequest* request,
                             v1::CreateNetworkResponse* response) override;
  grpc::Status GetNetwork(grpc::ServerContext* context, const v1::GetNetworkRequest* request,
                          v1::GetNetworkResponse* response) override;
  grpc::Status ListNetworks(grpc::ServerContext* context, const v1::ListNetworksRequest* request,
                            v1::ListNetworksResponse* response) override;
  grpc::Status DeleteNetwork(grpc::ServerContext* context, const v1::DeleteNetworkRequest* request,
                             v1::DeleteNetworkResponse* response) override;
  grpc::Status PruneNetworks(grpc::ServerContext* context, const v1::PruneNetworksRequest* request,
                             v1::PruneNetworksResponse* response) override;

 private:
  NetworkEngine& engine_;
};

}  // namespace darse::runtime
