// EventService over the runtime's event log.
#pragma once

#include <grpcpp/server_context.h>

#include "darse/runtime/v1/event_service.grpc.pb.h"
#include "libs/eventlog/event_log.h"

namespace darse::runtime {

class EventRpc final
    : public v1::EventService::WithCallbackMethod_WatchEvents<v1::EventService::Service> {
 public:
  explicit EventRpc(EventLog& events) : events_(events) {}

  grpc::ServerWriteReactor<v1::WatchEventsResponse>* WatchEvents(
      grpc::CallbackServerContext* context, const v1::WatchEventsRequest* request) override;
  grpc::Status GetEventPosition(grpc::ServerContext* context,
                                const v1::GetEventPositionRequest* request,
                                v1::GetEventPositionResponse* response) override;

 private:
  EventLog& events_;
};

}  // namespace darse::runtime
