// ContainerService: decodes, calls the engine, encodes.
#pragma once

#include <grpcpp/server_context.h>

#include "darse/runtime/v1/container_service.grpc.pb.h"
#include "services/runtime/containers/container_engine.h"

namespace darse::runtime {

// Streams, and the wait that may last for days, hold no thread.
using ContainerServiceBase = v1::ContainerService::WithCallbackMethod_ReadLogs<
    v1::ContainerService::WithCallbackMethod_Attach<v1::ContainerService::WithCallbackMethod_Exec<
        v1::ContainerService::WithCallbackMethod_WaitContainer<v1::ContainerService::Service>>>>;

class ContainerRpc final : public ContainerServiceBase {
 public:
  ContainerRpc(ContainerEngine& engine, SerialPool& pool) : engine_(engine), pool_(pool) {}

#define DARSE_UNARY(Verb)                                                           \
  grpc::Status Verb(grpc::ServerContext* context, const v1::Verb##Request* request, \
                    v1::Verb##Response* response) override;
  DARSE_UNARY(CreateContainer)
  DARSE_UNARY(StartContainer)
  DARSE_UNARY(RunContainer)
  DARSE_UNARY(StopContainer)
  DARSE_UNARY(KillContainer)
  DARSE_UNARY(RestartContainer)
  DARSE_UNARY(PauseContainer)
  DARSE_UNARY(UnpauseContainer)
  DARSE_UNARY(DeleteContainer)
  DARSE_UNARY(GetContainer)
  DARSE_UNARY(ListContainers)
  DARSE_UNARY(UpdateContainer)
  DARSE_UNARY(ListProcesses)
  DARSE_UNARY(GetStats)
#undef DARSE_UNARY

  grpc::ServerUnaryReactor* WaitContainer(grpc::CallbackServerContext* context,
                                          const v1::WaitContainerRequest* request,
                                          v1::WaitContainerResponse* response) override;
  grpc::ServerWriteReactor<v1::ReadLogsResponse>* ReadLogs(
      grpc::CallbackServerContext* context, const v1::ReadLogsRequest* request) override;
  grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>* Attach(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<v1::ExecRequest, v1::ExecResponse>* Exec(
      grpc::CallbackServerContext* context) override;

 private:
  ContainerEngine& engine_;
  // Where streams do what may block: gRPC's own threads are few.
  SerialPool& pool_;
};

}  // namespace darse::runtime
