// RuntimeClient over gRPC.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "darse/runtime/v1/container_service.grpc.pb.h"
#include "darse/runtime/v1/event_service.grpc.pb.h"
#include "libs/rpc/peer_link.h"
#include "services/metrics/containers/runtime_client.h"

namespace darse::metrics {

class RuntimeGrpcClient final : public RuntimeClient {
 public:
  explicit RuntimeGrpcClient(rpc::PeerLink& link);

  absl::StatusOr<std::vector<KnownContainer>> ListContainers() override;
  absl::StatusOr<int64_t> NewestEvent() override;
  absl::Status WatchEvents(
      int64_t after_sequence,
      const std::function<absl::Status(const std::vector<RuntimeEvent>&)>& handle) override;
  void Cancel() override;
  bool WaitUntilPresent(absl::Time deadline) override;
  // Ends a running WatchEvents when the runtime stops answering: a frozen peer keeps its
  // connection.
  void BreakWatch();

 private:
  rpc::PeerLink& link_;
  const std::unique_ptr<runtime::v1::ContainerService::Stub> containers_;
  const std::unique_ptr<runtime::v1::EventService::Stub> events_;
  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* watching_ ABSL_GUARDED_BY(mu_) = nullptr;
};

// The runtime's record as this service knows it.
KnownContainer FromProto(const runtime::v1::Container& container);

}  // namespace darse::metrics
