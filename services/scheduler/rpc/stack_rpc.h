// darse.scheduler.v1.StackService over the engine.
#pragma once

#include "darse/scheduler/v1/stack_service.grpc.pb.h"
#include "services/scheduler/contexts/context_directory.h"
#include "services/scheduler/stacks/stack_board.h"
#include "services/scheduler/stacks/stack_engine.h"

namespace darse::scheduler {

// Thread-safe. Unary calls are synchronous, watching is not.
class StackRpc final
    : public v1::StackService::WithCallbackMethod_WatchStack<v1::StackService::Service> {
 public:
  StackRpc(StackEngine& engine, StackBoard& board, ContextDirectory& contexts)
      : engine_(engine), board_(board), contexts_(contexts) {}

  grpc::Status ApplyStack(grpc::ServerContext* context, const v1::ApplyStackRequest* request,
                          v1::ApplyStackResponse* response) override;
  grpc::Status PlanStack(grpc::ServerContext* context, const v1::PlanStackRequest* request,
                         v1::PlanStackResponse* response) override;
  grpc::Status GetStack(grpc::ServerContext* context, const v1::GetStackRequest* request,
                        v1::GetStackResponse* response) override;
  grpc::Status ListStacks(grpc::ServerContext* context, const v1::ListStacksRequest* request,
                          v1::ListStacksResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchStackResponse>* WatchStack(
      grpc::CallbackServerContext* context, const v1::WatchStackRequest* request) override;
  grpc::Status DeleteStack(grpc::ServerContext* context, const v1::DeleteStackRequest* request,
                           v1::DeleteStackResponse* response) override;
  grpc::Status RestartStack(grpc::ServerContext* context, const v1::RestartStackRequest* request,
                            v1::RestartStackResponse* response) override;
  grpc::Status HasContext(grpc::ServerContext* context, const v1::HasContextRequest* request,
                          v1::HasContextResponse* response) override;
  grpc::Status UploadContext(grpc::ServerContext* context,
                             grpc::ServerReader<v1::UploadContextRequest>* reader,
                             v1::UploadContextResponse* response) override;

 private:
  absl::Status Receive(grpc::ServerReader<v1::UploadContextRequest>& reader);

  StackEngine& engine_;
  StackBoard& board_;
  ContextDirectory& contexts_;
};

}  // namespace darse::scheduler
