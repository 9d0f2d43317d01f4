// The builder over gRPC.
#pragma once

#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "darse/builder/v1/build_service.grpc.pb.h"
#include "libs/rpc/peer_link.h"
#include "services/scheduler/peers/builder.h"

namespace darse::scheduler {

// Thread-safe.
class BuilderClient final : public Builder {
 public:
  // `link` must outlive this.
  explicit BuilderClient(rpc::PeerLink& link)
      : link_(link), stub_(builder::v1::BuildService::NewStub(link.channel())) {}

  std::optional<absl::Time> MissingSince() const override { return link_.MissingSince(); }
  absl::StatusOr<bool> HasContext(absl::string_view digest) override;
  absl::Status UploadContext(absl::string_view digest, absl::string_view path) override;
  absl::StatusOr<builder::v1::Build> CreateBuild(const builder::v1::BuildSpec& spec,
                                                 absl::string_view request_id) override;
  absl::StatusOr<builder::v1::Build> GetBuild(absl::string_view id) override;
  absl::Status WatchBuild(
      absl::string_view id, int64_t after_sequence,
      const std::function<void(const builder::v1::BuildEvent&)>& on_event) override;
  void Cancel() override;

 private:
  friend class ActiveBuildCall;
  absl::Status Ended(const grpc::Status& status);

  rpc::PeerLink& link_;
  std::unique_ptr<builder::v1::BuildService::Stub> stub_;
  absl::Mutex mu_;
  bool canceled_ ABSL_GUARDED_BY(mu_) = false;
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::scheduler
