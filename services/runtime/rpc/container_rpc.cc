#include "services/runtime/rpc/container_rpc.h"

#include "libs/base/status_macros.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "services/runtime/rpc/container_proto.h"

namespace darse::runtime {
namespace {

std::optional<absl::Duration> Timeout(bool set, const google::protobuf::Duration& timeout) {
  if (!set) return std::nullopt;
  return FromProto(timeout);
}

template <typename Response>
grpc::Status Answer(const absl::StatusOr<ContainerRecord>& record, Response& response) {
  if (record.ok()) ToProto(*record, *response.mutable_container());
  return rpc::ToGrpc(record.status());
}

template <typename Response>
grpc::Status Answer(const absl::StatusOr<CreatedContainer>& created, Response& response) {
  if (!created.ok()) return rpc::ToGrpc(created.status());
  ToProto(*created, response);
  return grpc::Status::OK;
}

}  // namespace

grpc::Status ContainerRpc::CreateContainer(grpc::ServerContext* context,
                                           const v1::CreateContainerRequest* request,
                                           v1::CreateContainerResponse* response) {
  return Answer(engine_.Create(request->spec(), request->request_id(), rpc::Actor(*context),
                               request->start_follows()),
                *response);
}

grpc::Status ContainerRpc::StartContainer(grpc::ServerContext* context,
                                          const v1::StartContainerRequest* request,
                                          v1::StartContainerResponse* response) {
  return Answer(engine_.Start(request->container(), rpc::Actor(*context)), *response);
}

grpc::Status ContainerRpc::RunContainer(grpc::ServerContext* context,
                                        const v1::RunContainerRequest* request,
                                        v1::RunContainerResponse* response) {
  return Answer(engine_.Run(request->spec(), request->request_id(), rpc::Actor(*context)),
                *response);
}

grpc::Status ContainerRpc::StopContainer(grpc::ServerContext* context,
                                         const v1::StopContainerRequest* request,
                                         v1::StopContainerResponse* response) {
  return Answer(
      engine_.Stop(request->container(), Timeout(request->has_timeout(), request->timeout()),
                   rpc::Actor(*context)),
      *response);
}

grpc::Status ContainerRpc::KillContainer(grpc::ServerContext* context,
                                         const v1::KillContainerRequest* request,
                                         v1::KillContainerResponse*) {
  return rpc::ToGrpc(engine_.Kill(request->container(), request->signal(), rpc::Actor(*context)));
}

grpc::Status ContainerRpc::RestartContainer(grpc::ServerContext* context,
                                            const v1::RestartContainerRequest* request,
                                            v1::RestartContainerResponse* response) {
  return Answer(
      engine_.Restart(request->container(), Timeout(request->has_timeout(), request->timeout()),
                      rpc::Actor(*context)),
      *response);
}

grpc::Status ContainerRpc::PauseContainer(grpc::ServerContext* context,
                                          const v1::PauseContainerRequest* request,
                                          v1::PauseContainerResponse*) {
  return rpc::ToGrpc(engine_.Pause(request->container(), rpc::Actor(*context)));
}

grpc::Status ContainerRpc::UnpauseContainer(grpc::ServerContext* context,
                                            const v1::UnpauseContainerRequest* request,
                                            v1::UnpauseContainerResponse*) {
  return rpc::ToGrpc(engine_.Unpause(request->container(), rpc::Actor(*context)));
}

grpc::Status ContainerRpc::DeleteContainer(grpc::ServerContext* context,
                                           const v1::DeleteContainerRequest* request,
                                           v1::DeleteContainerResponse*) {
  return rpc::ToGrpc(engine_.Delete(request->container(), request->force(),
                                    request->delete_volumes(), rpc::Actor(*context)));
}

grpc::Status ContainerRpc::GetContainer(grpc::ServerContext*,
                                        const v1::GetContainerRequest* request,
                                        v1::GetContainerResponse* response) {
  absl::StatusOr<ContainerRecord> record = engine_.Get(request->container());
  if (record.ok()) response->set_oci_config_json(engine_.OciConfig(record->id));
  return Answer(record, *response);
}

grpc::Status ContainerRpc::ListContainers(grpc::ServerContext*,
                                          const v1::ListContainersRequest* request,
                                          v1::ListContainersResponse* response) {
  absl::StatusOr<ContainerPage> page =
      engine_.List(FromProto(*request), request->page_size(), request->page_token());
  if (!page.ok()) return rpc::ToGrpc(page.status());
  for (const ContainerRecord& record : page->records) ToProto(record, *response->add_containers());
  response->set_next_page_token(page->next_token);
  return grpc::Status::OK;
}

grpc::Status ContainerRpc::UpdateContainer(grpc::ServerContext* context,
                                           const v1::UpdateContainerRequest* request,
                                           v1::UpdateContainerResponse* response) {
  absl::StatusOr<CreatedContainer> updated = engine_.Update(
      request->container(), request->resources(),
      request->has_restart_policy() ? &request->restart_policy() : nullptr, rpc::Actor(*context));
  if (updated.ok()) ToProto(updated->record, *response->mutable_container());
  return rpc::ToGrpc(updated.status());
}

grpc::Status ContainerRpc::ListProcesses(grpc::ServerContext*,
                                         const v1::ListProcessesRequest* request,
                                         v1::ListProcessesResponse* response) {
  absl::StatusOr<std::vector<ContainerProcess>> processes =
      engine_.ListProcesses(request->container());
  if (!processes.ok()) return rpc::ToGrpc(processes.status());
  for (const ContainerProcess& process : *processes) ToProto(process, *response->add_processes());
  return grpc::Status::OK;
}

grpc::Status ContainerRpc::GetStats(grpc::ServerContext*, const v1::GetStatsRequest* request,
                                    v1::GetStatsResponse* response) {
  absl::StatusOr<std::vector<ContainerFigures>> figures =
      engine_.ReadFigures({request->containers().begin(), request->containers().end()});
  if (!figures.ok()) return rpc::ToGrpc(figures.status());
  for (const ContainerFigures& one : *figures) ToProto(one, *response->add_stats());
  return grpc::Status::OK;
}

}  // namespace darse::runtime
