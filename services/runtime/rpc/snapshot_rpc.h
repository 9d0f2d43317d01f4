// SnapshotService over gRPC.
#pragma once

#include "darse/runtime/v1/snapshot_service.grpc.pb.h"
#include "services/runtime/snapshots/snapshot_engine.h"
#include "services/runtime/snapshots/snapshot_files.h"

namespace darse::runtime {

// Thread-safe.
class SnapshotRpc final : public v1::SnapshotService::Service {
 public:
  explicit SnapshotRpc(SnapshotEngine& snapshots) : snapshots_(snapshots), files_(snapshots) {}

  grpc::Status AcquireLease(grpc::ServerContext* context, const v1::AcquireLeaseRequest* request,
                            v1::AcquireLeaseResponse* response) override;
  grpc::Status UpdateLease(grpc::ServerContext* context, const v1::UpdateLeaseRequest* request,
                           v1::UpdateLeaseResponse* response) override;
  grpc::Status ReleaseLease(grpc::ServerContext* context, const v1::ReleaseLeaseRequest* request,
                            v1::ReleaseLeaseResponse* response) override;
  grpc::Status HasLayers(grpc::ServerContext* context, const v1::HasLayersRequest* request,
                         v1::HasLayersResponse* response) override;
  grpc::Status PrepareSnapshot(grpc::ServerContext* context,
                               const v1::PrepareSnapshotRequest* request,
                               v1::PrepareSnapshotResponse* response) override;
  grpc::Status CommitSnapshot(grpc::ServerContext* context,
                              const v1::CommitSnapshotRequest* request,
                              v1::CommitSnapshotResponse* response) override;
  grpc::Status DeleteSnapshot(grpc::ServerContext* context,
                              const v1::DeleteSnapshotRequest* request,
                              v1::DeleteSnapshotResponse* response) override;
  grpc::Status WriteFiles(grpc::ServerContext* context,
                          grpc::ServerReader<v1::WriteFilesRequest>* reader,
                          v1::WriteFilesResponse* response) override;
  grpc::Status CopyFiles(grpc::ServerContext* context, const v1::CopyFilesRequest* request,
                         v1::CopyFilesResponse* response) override;
  grpc::Status DigestFiles(grpc::ServerContext* context, const v1::DigestFilesRequest* request,
                           v1::DigestFilesResponse* response) override;
  grpc::Status ReadFile(grpc::ServerContext* context, const v1::ReadFileRequest* request,
                        v1::ReadFileResponse* response) override;

 private:
  SnapshotEngine& snapshots_;
  SnapshotFiles files_;
};

}  // namespace darse::runtime
