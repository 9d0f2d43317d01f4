// Our containers in the words of the proto, and back.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "darse/runtime/v1/container.pb.h"
#include "darse/runtime/v1/container_service.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "services/runtime/containers/container_engine.h"

namespace darse::runtime {

void ToProto(absl::Time time, google::protobuf::Timestamp& proto);
void ToProto(absl::Duration duration, google::protobuf::Duration& proto);
absl::Time FromProto(const google::protobuf::Timestamp& proto);
absl::Duration FromProto(const google::protobuf::Duration& proto);

void ToProto(const ContainerRecord& record, v1::Container& proto);
// A response that has both the container and warnings.
template <typename Response>
void ToProto(const CreatedContainer& created, Response& response) {
  ToProto(created.record, *response.mutable_container());
  response.mutable_warnings()->Add(created.warnings.begin(), created.warnings.end());
}
void ToProto(const ContainerFigures& figures, v1::ContainerStats& proto);
void ToProto(const ContainerProcess& process, v1::ListProcessesResponse::Process& proto);
void ToProto(const LogRecord& record, v1::LogLine& proto);

ListFilter FromProto(const v1::ListContainersRequest& request);
LogFilter FromProto(const v1::ReadLogsRequest& request);
ExecOptions FromProto(const v1::ExecRequest::Start& start);

}  // namespace darse::runtime
