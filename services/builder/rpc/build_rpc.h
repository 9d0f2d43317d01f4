// darse.builder.v1.BuildService over the engines: decode, call, encode.
#pragma once

#include "darse/builder/v1/build_service.grpc.pb.h"
#include "services/builder/builds/build_engine.h"
#include "services/builder/cache/cache_engine.h"
#include "services/builder/contexts/context_engine.h"

namespace darse::builder {

// Thread-safe. Calls are synchronous but for WatchBuild, which may last long.
class BuildRpc final
    : public v1::BuildService::WithCallbackMethod_WatchBuild<v1::BuildService::Service> {
 public:
  BuildRpc(BuildEngine& builds, ContextEngine& contexts, CacheEngine& cache);

  grpc::Status HasContext(grpc::ServerContext*, const v1::HasContextRequest* request,
                          v1::HasContextResponse* response) override;
  grpc::Status UploadContext(grpc::ServerContext*,
                             grpc::ServerReader<v1::UploadContextRequest>* reader,
                             v1::UploadContextResponse*) override;
  grpc::Status CreateBuild(grpc::ServerContext*, const v1::CreateBuildRequest* request,
                           v1::CreateBuildResponse* response) override;
  grpc::Status GetBuild(grpc::ServerContext*, const v1::GetBuildRequest* request,
                        v1::GetBuildResponse* response) override;
  grpc::Status ListBuilds(grpc::ServerContext*, const v1::ListBuildsRequest* request,
                          v1::ListBuildsResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchBuildResponse>* WatchBuild(
      grpc::CallbackServerContext*, const v1::WatchBuildRequest* request) override;
  grpc::Status CancelBuild(grpc::ServerContext*, const v1::CancelBuildRequest* request,
                           v1::CancelBuildResponse*) override;
  grpc::Status ListCacheEntries(grpc::ServerContext*, const v1::ListCacheEntriesRequest* request,
                                v1::ListCacheEntriesResponse* response) override;
  grpc::Status PruneCache(grpc::ServerContext*, const v1::PruneCacheRequest* request,
                          v1::PruneCacheResponse* response) override;

 private:
  absl::Status Upload(grpc::ServerReader<v1::UploadContextRequest>& reader);
  absl::Status List(const v1::ListBuildsRequest& request, v1::ListBuildsResponse& response);
  absl::Status ListCache(const v1::ListCacheEntriesRequest& request,
                         v1::ListCacheEntriesResponse& response);

  BuildEngine& builds_;
  ContextEngine& contexts_;
  CacheEngine& cache_;
};

}  // namespace darse::builder
