#include "services/metrics/rpc/runtime_grpc_client.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"

namespace darse::metrics {
namespace {

namespace v1 = runtime::v1;

constexpr absl::Duration kTimeout = absl::Seconds(5);

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

// CONTAINER_STATE_RUNNING -> "running".
std::string Word(absl::string_view name, absl::string_view prefix) {
  std::string word = absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
  return word == "unspecified" ? std::string() : word;
}

RuntimeEvent FromProto(const v1::Event& event) {
  return {.sequence = event.sequence(),
          .time = ToTime(event.time()),
          .kind = event.kind(),
          .action = event.action(),
          .id = event.id(),
          .attributes = {event.attributes().begin(), event.attributes().end()}};
}

}  // namespace

KnownContainer FromProto(const v1::Container& container) {
  const v1::ContainerSpec& spec = container.spec();
  std::map<std::string, std::string> labels(spec.labels().begin(), spec.labels().end());
  KnownContainer known{
      .id = container.id(),
      .subject = SubjectOf(labels, container.name()),
      .name = container.name(),
      .image = spec.image(),
      .stack = labels["darse.stack"],
      .service = labels["darse.service"],
      .state = Word(v1::ContainerState_Name(container.state()), "CONTAINER_STATE_"),
      .health = Word(v1::Health::Status_Name(container.health().status()), "STATUS_"),
      .start_time = ToTime(container.start_time()),
      .restart_count = container.restart_count(),
      .cgroup_path = container.cgroup_path(),
      .pid = container.pid(),
      .host_network = spec.network_mode() == v1::NETWORK_MODE_HOST};
  for (const v1::NetworkEndpoint& endpoint : container.endpoints()) {
    if (!endpoint.host_interface().empty()) {
      known.host_interfaces.push_back(endpoint.host_interface());
    }
  }
  return known;
}

RuntimeGrpcClient::RuntimeGrpcClient(rpc::PeerLink& link)
    : link_(link),
      containers_(v1::ContainerService::NewStub(link.channel())),
      events_(v1::EventService::NewStub(link.channel())) {}

absl::StatusOr<std::vector<KnownContainer>> RuntimeGrpcClient::ListContainers() {
  std::vector<KnownContainer> known;
  v1::ListContainersRequest request;
  do {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kTimeout);
    v1::ListContainersResponse response;
    absl::Status status = rpc::FromGrpc(containers_->ListContainers(&context, request, &response));
    link_.Observe(status);
    RETURN_IF_ERROR(Annotate(status, "list containers"));
    for (const v1::Container& container : response.containers()) {
      known.push_back(FromProto(container));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return known;
}

absl::StatusOr<int64_t> RuntimeGrpcClient::NewestEvent() {
  grpc::ClientContext context;
  rpc::SetTimeout(context, kTimeout);
  v1::GetEventPositionResponse response;
  absl::Status status = rpc::FromGrpc(events_->GetEventPosition(&context, {}, &response));
  link_.Observe(status);
  RETURN_IF_ERROR(Annotate(status, "event position"));
  return response.newest_sequence();
}

absl::Status RuntimeGrpcClient::WatchEvents(
    int64_t after_sequence,
    const std::function<absl::Status(const std::vector<RuntimeEvent>&)>& handle) {
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mu_);
    if (cancelled_) return absl::CancelledError("watch events: stopping");
    watching_ = &context;
  }
  v1::WatchEventsRequest request;
  // A start is over sooner if nobody looks on meanwhile.
  request.mutable_gather()->set_nanos(100'000'000);
  request.set_after_sequence(after_sequence);
  request.set_follow(true);
  request.add_kinds("container");
  auto reader = events_->WatchEvents(&context, request);
  v1::WatchEventsResponse response;
  absl::Status handled;
  while (handled.ok() && reader->Read(&response)) {
    std::vector<RuntimeEvent> events;
    for (const v1::Event& event : response.events()) events.push_back(FromProto(event));
    if (!events.empty()) handled = handle(events);
  }
  if (!handled.ok()) context.TryCancel();
  absl::Status ended = rpc::FromGrpc(reader->Finish());
  {
    absl::MutexLock lock(&mu_);
    watching_ = nullptr;
  }
  if (!handled.ok()) return handled;
  if (rpc::PeerIsMissing(ended)) link_.Observe(ended);
  return Annotate(ended, "watch events");
}

void RuntimeGrpcClient::Cancel() {
  absl::MutexLock lock(&mu_);
  cancelled_ = true;
  if (watching_ != nullptr) watching_->TryCancel();
}

void RuntimeGrpcClient::BreakWatch() {
  absl::MutexLock lock(&mu_);
  if (watching_ != nullptr) watching_->TryCancel();
}

bool RuntimeGrpcClient::WaitUntilPresent(absl::Time deadline) {
  return link_.WaitUntilPresent(deadline);
}

}  // namespace darse::metrics
