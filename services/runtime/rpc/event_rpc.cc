#include "services/runtime/rpc/event_rpc.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/executor.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"
#include "services/runtime/rpc/container_proto.h"

namespace darse::runtime {
namespace {

constexpr int kBatch = 256;

void EventToProto(const Event& event, v1::Event& proto) {
  proto.set_sequence(event.sequence);
  ToProto(event.time, *proto.mutable_time());
  proto.set_kind(event.kind);
  proto.set_action(event.action);
  proto.set_id(event.id);
  for (const auto& [key, value] : event.attributes) (*proto.mutable_attributes())[key] = value;
  proto.set_actor(event.actor);
}

// What a reader asks for beside its kinds.
bool IsWanted(absl::string_view kind, absl::string_view action,
              const std::map<std::string, std::string>& attributes, const std::string& label) {
  if (label.empty()) return true;
  if (kind == "container") return attributes.contains(label);
  return kind != "network" || (action != "connect" && action != "disconnect");
}

// Wakes a stream that long after the first reason to: what comes meanwhile goes with it.
class GatheringWaker {
 public:
  GatheringWaker(std::shared_ptr<rpc::Waker> waker, absl::Duration gather)
      : waker_(std::move(waker)), gather_(gather) {}

  void operator()() const {
    if (gather_ <= absl::ZeroDuration()) return waker_->Wake();
    if (waiting_->exchange(true)) return;
    rpc::Executor::Process().Run([waker = waker_, gather = gather_, waiting = waiting_] {
      absl::SleepFor(gather);
      *waiting = false;
      waker->Wake();
    });
  }

 private:
  std::shared_ptr<rpc::Waker> waker_;
  absl::Duration gather_;
  std::shared_ptr<std::atomic<bool>> waiting_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

grpc::ServerWriteReactor<v1::WatchEventsResponse>* EventRpc::WatchEvents(
    grpc::CallbackServerContext*, const v1::WatchEventsRequest* request) {
  auto waker = std::make_shared<rpc::Waker>();
  std::unique_ptr<EventLog::Subscription> subscription;
  bool follow = request->follow();
  absl::Duration gather = std::min(FromProto(request->gather()), absl::Seconds(1));
  std::string label = request->container_label();
  if (follow) {
    subscription = events_.Subscribe(GatheringWaker(waker, gather), [label](const NewEvent& event) {
      return IsWanted(event.kind, event.action, event.attributes, label);
    });
  }
  absl::StatusOr<EventPosition> begun_at = events_.Position();
  return rpc::StreamFrom<v1::WatchEventsResponse>(
      waker,
      [this, follow, label, begun_at, subscription = std::move(subscription),
       cursor = request->after_sequence(),
       kinds = std::vector<std::string>(request->kinds().begin(), request->kinds().end())](
          v1::WatchEventsResponse& response) mutable -> absl::StatusOr<rpc::Next> {
        RETURN_IF_ERROR(begun_at.status());
        while (true) {
          const bool catches_up = cursor < begun_at->newest;
          ASSIGN_OR_RETURN(std::vector<Event> events, events_.Read(cursor, kBatch, kinds));
          if (events.empty()) return follow ? rpc::Next::kWait : rpc::Next::kEnd;
          for (const Event& event : events) {
            if (!IsWanted(event.kind, event.action, event.attributes, label)) continue;
            EventToProto(event, *response.add_events());
          }
          cursor = events.back().sequence;
          response.set_complete_to_sequence(cursor);
          if (catches_up || response.events_size() > 0) return rpc::Next::kWrite;
        }
      });
}

grpc::Status EventRpc::GetEventPosition(grpc::ServerContext*, const v1::GetEventPositionRequest*,
                                        v1::GetEventPositionResponse* response) {
  absl::StatusOr<EventPosition> position = events_.Position();
  if (!position.ok()) return rpc::ToGrpc(position.status());
  response->set_newest_sequence(position->newest);
  response->set_oldest_sequence(position->oldest);
  return grpc::Status::OK;
}

}  // namespace darse::runtime
