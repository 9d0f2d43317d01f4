// darse.scheduler.v1.SchedulerNodeService: the peers as the scheduler sees them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "darse/scheduler/v1/node_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/rpc/peer_link.h"
#include "services/scheduler/stacks/stack_engine.h"

namespace darse::scheduler {

// Thread-safe.
class NodeRpc final : public v1::SchedulerNodeService::Service {
 public:
  NodeRpc(StackEngine& engine, std::vector<const rpc::PeerLink*> links, Clock& clock);

  // A peer came.
  void NotePresent(const std::string& peer);

  grpc::Status ListPeers(grpc::ServerContext* context, const v1::ListPeersRequest* request,
                         v1::ListPeersResponse* response) override;

 private:
  StackEngine& engine_;
  const std::vector<const rpc::PeerLink*> links_;
  Clock& clock_;
  absl::Mutex mu_;
  std::map<std::string, absl::Time> present_since_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::scheduler
