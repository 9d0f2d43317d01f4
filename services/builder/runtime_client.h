// The runtime, over gRPC. The only file of the builder that calls another service.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "darse/runtime/v1/container_service.grpc.pb.h"
#include "darse/runtime/v1/image_service.grpc.pb.h"
#include "darse/runtime/v1/snapshot_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/rpc/peer_link.h"
#include "services/builder/runtime.h"

namespace darse::builder {

// Thread-safe.
class RuntimeClient final : public Runtime {
 public:
  // `new_id` makes request ids.
  RuntimeClient(rpc::PeerLink& link, std::function<std::string()> new_id);

  std::optional<absl::Time> MissingSince() override;
  bool WaitUntilPresent(absl::Time deadline) override;
  absl::StatusOr<BaseImage> GetImage(absl::string_view reference) override;
  absl::StatusOr<std::string> CreateImage(absl::string_view config_json, absl::string_view chain_id,
                                          const std::vector<std::string>& references) override;
  absl::Status AcquireLease(absl::string_view lease, std::optional<absl::Time> expires) override;
  absl::Status UpdateLease(absl::string_view lease, const LeaseChange& change) override;
  absl::Status ReleaseLease(absl::string_view lease) override;
  absl::StatusOr<std::vector<std::string>> MissingLayers(
      const std::vector<std::string>& chain_ids) override;
  absl::StatusOr<std::string> PrepareSnapshot(absl::string_view lease,
                                              absl::string_view parent_chain_id) override;
  absl::StatusOr<std::optional<NewLayer>> CommitSnapshot(absl::string_view snapshot_id,
                                                         absl::string_view lease,
                                                         int64_t clamp_time_seconds) override;
  absl::Status DeleteSnapshot(absl::string_view snapshot_id) override;
  absl::Status WriteFiles(const FileWrite& write, archive::ChunkSource& tar) override;
  absl::Status CopyFiles(const FileCopy& copy) override;
  absl::StatusOr<std::string> DigestFiles(absl::string_view chain_id,
                                          const std::vector<std::string>& paths) override;
  absl::StatusOr<FileKind> Probe(absl::string_view snapshot_id, absl::string_view path) override;
  absl::StatusOr<std::string> StartRun(const RunRequest& run) override;
  absl::Status FollowOutput(absl::string_view container_id, absl::Time after,
                            absl::FunctionRef<void(const RunOutput&)> take,
                            Cancellation& cancellation) override;
  absl::StatusOr<RunExit> WaitExit(absl::string_view container_id,
                                   Cancellation& cancellation) override;
  absl::Status DeleteContainer(absl::string_view container_id) override;
  absl::StatusOr<std::vector<std::string>> ListContainers(absl::string_view label) override;

 private:
  // A gRPC status in our terms; the link hears of it.
  absl::Status Ended(const grpc::Status& status);

  rpc::PeerLink& link_;
  const std::function<std::string()> new_id_;
  const std::unique_ptr<runtime::v1::ImageService::Stub> images_;
  const std::unique_ptr<runtime::v1::SnapshotService::Stub> snapshots_;
  const std::unique_ptr<runtime::v1::ContainerService::Stub> containers_;
};

}  // namespace darse::builder
