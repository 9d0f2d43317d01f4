#include "services/scheduler/rpc/node_rpc.h"

#include <utility>

#include "services/scheduler/stacks/task_state.h"

namespace darse::scheduler {

NodeRpc::NodeRpc(StackEngine& engine, std::vector<const rpc::PeerLink*> links, Clock& clock)
    : engine_(engine), links_(std::move(links)), clock_(clock) {
  absl::MutexLock lock(&mu_);
  for (const rpc::PeerLink* link : links_) present_since_[link->peer()] = clock_.Now();
}

void NodeRpc::NotePresent(const std::string& peer) {
  absl::MutexLock lock(&mu_);
  present_since_[peer] = clock_.Now();
}

grpc::Status NodeRpc::ListPeers(grpc::ServerContext*, const v1::ListPeersRequest*,
                                v1::ListPeersResponse* response) {
  for (const rpc::PeerLink* link : links_) {
    v1::Peer& peer = *response->add_peers();
    peer.set_name(link->peer());
    const std::optional<absl::Time> missing = link->MissingSince();
    peer.set_up(!missing);
    absl::Time since;
    {
      absl::MutexLock lock(&mu_);
      since = missing.value_or(present_since_[link->peer()]);
    }
    *peer.mutable_since() = ToProto(since);
    for (std::string& sentence : engine_.WaitingFor(link->peer()))
      peer.add_waiting(std::move(sentence));
  }
  return grpc::Status::OK;
}

}  // namespace darse::scheduler
