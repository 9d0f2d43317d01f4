#include "services/runtime/rpc/network_rpc.h"

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "services/runtime/rpc/list_page.h"

namespace darse::runtime {
namespace {

void Encode(const Network& network, v1::Network& proto) {
  proto.set_id(network.id);
  proto.set_name(network.name);
  proto.set_subnet(network.subnet);
  proto.set_gateway(network.gateway);
  proto.set_internal(network.internal);
  for (const auto& [key, value] : network.labels) (*proto.mutable_labels())[key] = value;
  const timespec created = absl::ToTimespec(network.created_at);
  proto.mutable_create_time()->set_seconds(created.tv_sec);
  proto.mutable_create_time()->set_nanos(static_cast<int32_t>(created.tv_nsec));
  proto.set_interface(network.interface);
  for (const std::string& id : network.container_ids) proto.add_container_ids(id);
}

}  // namespace

grpc::Status NetworkRpc::CreateNetwork(grpc::ServerContext* context,
                                       const v1::CreateNetworkRequest* request,
                                       v1::CreateNetworkResponse* response) {
  absl::StatusOr<Network> network =
      engine_.Create({.name = request->name(),
                      .subnet = request->subnet(),
                      .internal = request->internal(),
                      .labels = {request->labels().begin(), request->labels().end()}},
                     rpc::Actor(*context));
  if (network.ok()) Encode(*network, *response->mutable_network());
  return rpc::ToGrpc(network.status());
}

grpc::Status NetworkRpc::GetNetwork(grpc::ServerContext*, const v1::GetNetworkRequest* request,
                                    v1::GetNetworkResponse* response) {
  absl::StatusOr<Network> network = engine_.Get(request->network());
  if (network.ok()) Encode(*network, *response->mutable_network());
  return rpc::ToGrpc(network.status());
}

grpc::Status NetworkRpc::ListNetworks(grpc::ServerContext*, const v1::ListNetworksRequest* request,
                                      v1::ListNetworksResponse* response) {
  absl::StatusOr<std::vector<Network>> networks = engine_.List();
  if (!networks.ok()) return rpc::ToGrpc(networks.status());
  const std::vector<std::string> filters(request->labels().begin(), request->labels().end());
  std::erase_if(*networks,
                [&](const Network& network) { return !HasLabels(network.labels, filters); });
  std::vector<std::string> names;
  for (const Network& network : *networks) names.push_back(network.name);
  absl::StatusOr<ListPage> page = PageOf(names, request->page_size(), request->page_token());
  if (!page.ok()) return rpc::ToGrpc(page.status());
  for (size_t i = page->begin; i < page->end; ++i) {
    Encode((*networks)[i], *response->add_networks());
  }
  response->set_next_page_token(page->next_page_token);
  return grpc::Status::OK;
}

grpc::Status NetworkRpc::DeleteNetwork(grpc::ServerContext* context,
                                       const v1::DeleteNetworkRequest* request,
                                       v1::DeleteNetworkResponse*) {
  return rpc::ToGrpc(engine_.Delete(request->network(), rpc::Actor(*context)));
}

grpc::Status NetworkRpc::PruneNetworks(grpc::ServerContext* context,
                                       const v1::PruneNetworksRequest*,
                                       v1::PruneNetworksResponse* response) {
  absl::StatusOr<std::vector<std::string>> deleted = engine_.Prune(rpc::Actor(*context));
  if (!deleted.ok()) return rpc::ToGrpc(deleted.status());
  for (const std::string& name : *deleted) response->add_deleted_names(name);
  return grpc::Status::OK;
}

}  // namespace darse::runtime
