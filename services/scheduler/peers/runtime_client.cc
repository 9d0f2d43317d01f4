#include "services/scheduler/peers/runtime_client.h"

#include <algorithm>
#include <utility>

#include "libs/base/status_macros.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"

namespace darse::scheduler {
namespace {

using namespace runtime::v1;  // NOLINT: every name here is the runtime's

constexpr absl::Duration kQuick = absl::Seconds(15);
// Making a container may unpack layers.
constexpr absl::Duration kSlow = absl::Minutes(5);
// Beyond the time that a container has to stop.
constexpr absl::Duration kStopMargin = absl::Seconds(30);

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::ToInt64Seconds(duration));
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(proto.seconds()))));
  return proto;
}

absl::Status OkIfGone(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace

// A context that Cancel() reaches while the call lasts.
class ActiveCall {
 public:
  explicit ActiveCall(RuntimeClient& client) : client_(client) {
    absl::MutexLock lock(&client_.mu_);
    client_.contexts_.insert(&context);
    if (client_.canceled_) context.TryCancel();
  }
  ~ActiveCall() {
    absl::MutexLock lock(&client_.mu_);
    client_.contexts_.erase(&context);
  }
  ActiveCall(const ActiveCall&) = delete;

  grpc::ClientContext context;

 private:
  RuntimeClient& client_;
};

RuntimeClient::RuntimeClient(rpc::PeerLink& link)
    : link_(link),
      containers_(ContainerService::NewStub(link.channel())),
      events_(EventService::NewStub(link.channel())),
      images_(ImageService::NewStub(link.channel())),
      networks_(NetworkService::NewStub(link.channel())),
      volumes_(VolumeService::NewStub(link.channel())) {}

void RuntimeClient::Cancel() {
  absl::MutexLock lock(&mu_);
  canceled_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
}

bool RuntimeClient::WaitUntilPresent(absl::Time deadline) {
  {
    absl::MutexLock lock(&mu_);
    if (canceled_) return false;
  }
  return link_.WaitUntilPresent(deadline);
}

absl::Status RuntimeClient::Ended(const grpc::Status& status) {
  absl::Status answer = rpc::FromGrpc(status);
  link_.Observe(answer);
  if (!rpc::PeerIsMissing(answer)) return answer;
  const absl::Status missing = link_.Check();
  return missing.ok() ? absl::UnavailableError(answer.message()) : missing;
}

template <typename Stub, typename Request, typename Response>
absl::Status RuntimeClient::Call(
    Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const Request& request, Response* response, absl::Duration timeout) {
  ActiveCall call(*this);
  rpc::SetTimeout(call.context, timeout);
  return Ended((stub.*method)(&call.context, request, response));
}

absl::StatusOr<Container> RuntimeClient::CreateContainer(const ContainerSpec& spec,
                                                         absl::string_view request_id) {
  CreateContainerRequest request;
  CreateContainerResponse response;
  *request.mutable_spec() = spec;
  request.set_request_id(std::string(request_id));
  RETURN_IF_ERROR(
      Call(*containers_, &ContainerService::Stub::CreateContainer, request, &response, kSlow));
  return response.container();
}

absl::StatusOr<Container> RuntimeClient::StartContainer(absl::string_view id) {
  StartContainerRequest request;
  StartContainerResponse response;
  request.set_container(std::string(id));
  RETURN_IF_ERROR(
      Call(*containers_, &ContainerService::Stub::StartContainer, request, &response, kSlow));
  return response.container();
}

absl::StatusOr<Container> RuntimeClient::StopContainer(absl::string_view id,
                                                       std::optional<absl::Duration> timeout,
                                                       absl::Duration longest) {
  StopContainerRequest request;
  StopContainerResponse response;
  request.set_container(std::string(id));
  if (timeout) *request.mutable_timeout() = ToProtoDuration(*timeout);
  RETURN_IF_ERROR(Call(*containers_, &ContainerService::Stub::StopContainer, request, &response,
                       timeout.value_or(longest) + kStopMargin));
  return response.container();
}

absl::StatusOr<Container> RuntimeClient::RestartContainer(absl::string_view id,
                                                          absl::Duration longest) {
  RestartContainerRequest request;
  RestartContainerResponse response;
  request.set_container(std::string(id));
  RETURN_IF_ERROR(Call(*containers_, &ContainerService::Stub::RestartContainer, request, &response,
                       longest + kStopMargin));
  return response.container();
}

absl::Status RuntimeClient::DeleteContainer(absl::string_view id, bool delete_volumes) {
  DeleteContainerRequest request;
  DeleteContainerResponse response;
  request.set_container(std::string(id));
  request.set_force(true);
  request.set_delete_volumes(delete_volumes);
  return OkIfGone(
      Call(*containers_, &ContainerService::Stub::DeleteContainer, request, &response, kSlow));
}

absl::StatusOr<Container> RuntimeClient::GetContainer(absl::string_view id) {
  GetContainerRequest request;
  GetContainerResponse response;
  request.set_container(std::string(id));
  RETURN_IF_ERROR(
      Call(*containers_, &ContainerService::Stub::GetContainer, request, &response, kQuick));
  return response.container();
}

absl::StatusOr<std::vector<Container>> RuntimeClient::ListContainers(absl::string_view label) {
  std::vector<Container> all;
  ListContainersRequest request;
  request.add_labels(std::string(label));
  for (;;) {
    ListContainersResponse response;
    RETURN_IF_ERROR(
        Call(*containers_, &ContainerService::Stub::ListContainers, request, &response, kQuick));
    for (Container& container : *response.mutable_containers()) all.push_back(std::move(container));
    if (response.next_page_token().empty()) return all;
    request.set_page_token(response.next_page_token());
  }
}

absl::StatusOr<Network> RuntimeClient::CreateNetwork(const CreateNetworkRequest& request) {
  CreateNetworkResponse response;
  RETURN_IF_ERROR(
      Call(*networks_, &NetworkService::Stub::CreateNetwork, request, &response, kSlow));
  return response.network();
}

absl::Status RuntimeClient::DeleteNetwork(absl::string_view name) {
  DeleteNetworkRequest request;
  DeleteNetworkResponse response;
  request.set_network(std::string(name));
  return OkIfGone(
      Call(*networks_, &NetworkService::Stub::DeleteNetwork, request, &response, kSlow));
}

absl::StatusOr<std::vector<Network>> RuntimeClient::ListNetworks() {
  std::vector<Network> all;
  ListNetworksRequest request;
  for (;;) {
    ListNetworksResponse response;
    RETURN_IF_ERROR(
        Call(*networks_, &NetworkService::Stub::ListNetworks, request, &response, kQuick));
    for (Network& network : *response.mutable_networks()) all.push_back(std::move(network));
    if (response.next_page_token().empty()) return all;
    request.set_page_token(response.next_page_token());
  }
}

absl::StatusOr<Volume> RuntimeClient::CreateVolume(const CreateVolumeRequest& request) {
  CreateVolumeResponse response;
  RETURN_IF_ERROR(Call(*volumes_, &VolumeService::Stub::CreateVolume, request, &response, kQuick));
  return response.volume();
}

absl::Status RuntimeClient::DeleteVolume(absl::string_view name) {
  DeleteVolumeRequest request;
  DeleteVolumeResponse response;
  request.set_name(std::string(name));
  return OkIfGone(Call(*volumes_, &VolumeService::Stub::DeleteVolume, request, &response, kSlow));
}

absl::StatusOr<std::vector<Volume>> RuntimeClient::ListVolumes() {
  std::vector<Volume> all;
  ListVolumesRequest request;
  for (;;) {
    ListVolumesResponse response;
    RETURN_IF_ERROR(Call(*volumes_, &VolumeService::Stub::ListVolumes, request, &response, kQuick));
    for (Volume& volume : *response.mutable_volumes()) all.push_back(std::move(volume));
    if (response.next_page_token().empty()) return all;
    request.set_page_token(response.next_page_token());
  }
}

absl::StatusOr<std::string> RuntimeClient::FindImage(absl::string_view reference) {
  GetImageRequest request;
  GetImageResponse response;
  request.set_image(std::string(reference));
  RETURN_IF_ERROR(Call(*images_, &ImageService::Stub::GetImage, request, &response, kQuick));
  return response.image().id();
}

absl::StatusOr<Runtime::Position> RuntimeClient::EventPosition() {
  GetEventPositionRequest request;
  GetEventPositionResponse response;
  RETURN_IF_ERROR(
      Call(*events_, &EventService::Stub::GetEventPosition, request, &response, kQuick));
  return Position{.newest = response.newest_sequence(), .oldest = response.oldest_sequence()};
}

absl::Status RuntimeClient::WatchEvents(int64_t after_sequence, absl::string_view container_label,
                                        const OnEvents& on_events) {
  ActiveCall call(*this);
  WatchEventsRequest request;
  // A start is over sooner if nobody looks on meanwhile. Short: who has seen a container end and
  // asks for the stack again is to be answered by what is, and that is known from here.
  request.mutable_gather()->set_nanos(5'000'000);
  request.set_after_sequence(after_sequence);
  request.set_container_label(std::string(container_label));
  request.set_follow(true);
  auto reader = events_->WatchEvents(&call.context, request);
  WatchEventsResponse response;
  while (reader->Read(&response)) {
    const absl::Status taken = on_events({response.events().begin(), response.events().end()},
                                         response.complete_to_sequence());
    if (taken.ok()) continue;
    call.context.TryCancel();
    reader->Finish();
    return taken;
  }
  RETURN_IF_ERROR(Ended(reader->Finish()));
  return absl::UnavailableError("the runtime ended its events");
}

}  // namespace darse::scheduler
