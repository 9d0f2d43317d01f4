// The runtime over gRPC.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "darse/runtime/v1/container_service.grpc.pb.h"
#include "darse/runtime/v1/event_service.grpc.pb.h"
#include "darse/runtime/v1/image_service.grpc.pb.h"
#include "darse/runtime/v1/network_service.grpc.pb.h"
#include "darse/runtime/v1/volume_service.grpc.pb.h"
#include "libs/rpc/peer_link.h"
#include "services/scheduler/peers/runtime.h"

namespace darse::scheduler {

// Thread-safe.
class RuntimeClient final : public Runtime {
 public:
  // `link` must outlive this.
  explicit RuntimeClient(rpc::PeerLink& link);

  std::optional<absl::Time> MissingSince() const override { return link_.MissingSince(); }
  bool WaitUntilPresent(absl::Time deadline) override;
  absl::StatusOr<runtime::v1::Container> CreateContainer(const runtime::v1::ContainerSpec& spec,
                                                         absl::string_view request_id) override;
  absl::StatusOr<runtime::v1::Container> StartContainer(absl::string_view id) override;
  absl::StatusOr<runtime::v1::Container> StopContainer(absl::string_view id,
                                                       std::optional<absl::Duration> timeout,
                                                       absl::Duration longest) override;
  absl::StatusOr<runtime::v1::Container> RestartContainer(absl::string_view id,
                                                          absl::Duration longest) override;
  absl::Status DeleteContainer(absl::string_view id, bool delete_volumes) override;
  absl::StatusOr<runtime::v1::Container> GetContainer(absl::string_view id) override;
  absl::StatusOr<std::vector<runtime::v1::Container>> ListContainers(
      absl::string_view label) override;
  absl::StatusOr<runtime::v1::Network> CreateNetwork(
      const runtime::v1::CreateNetworkRequest& request) override;
  absl::Status DeleteNetwork(absl::string_view name) override;
  absl::StatusOr<std::vector<runtime::v1::Network>> ListNetworks() override;
  absl::StatusOr<runtime::v1::Volume> CreateVolume(
      const runtime::v1::CreateVolumeRequest& request) override;
  absl::Status DeleteVolume(absl::string_view name) override;
  absl::StatusOr<std::vector<runtime::v1::Volume>> ListVolumes() override;
  absl::StatusOr<std::string> FindImage(absl::string_view reference) override;
  absl::StatusOr<Position> EventPosition() override;
  absl::Status WatchEvents(int64_t after_sequence, absl::string_view container_label,
                           const OnEvents& on_events) override;
  void Cancel() override;

 private:
  // One call with a deadline; a peer that is not there is UNAVAILABLE, and the link learns of it.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, absl::Duration timeout);
  absl::Status Ended(const grpc::Status& status);

  rpc::PeerLink& link_;
  std::unique_ptr<runtime::v1::ContainerService::Stub> containers_;
  std::unique_ptr<runtime::v1::EventService::Stub> events_;
  std::unique_ptr<runtime::v1::ImageService::Stub> images_;
  std::unique_ptr<runtime::v1::NetworkService::Stub> networks_;
  std::unique_ptr<runtime::v1::VolumeService::Stub> volumes_;
  absl::Mutex mu_;
  bool canceled_ ABSL_GUARDED_BY(mu_) = false;
  // Calls under way.
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mu_);

  friend class ActiveCall;
};

}  // namespace darse::scheduler
