#include "services/scheduler/peers/fake_runtime.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::scheduler {
namespace {

using namespace runtime::v1;  // NOLINT: every name here is the runtime's

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp proto;
  proto.set_seconds(absl::ToUnixSeconds(time));
  proto.set_nanos(static_cast<int32_t>(absl::ToUnixNanos(time) - proto.seconds() * 1'000'000'000));
  return proto;
}

absl::Status Gone(absl::string_view what) { return absl::NotFoundError(absl::StrCat("no ", what)); }

}  // namespace

void FakeRuntime::GoAway() {
  absl::MutexLock lock(&mu_);
  missing_since_ = clock_.Now();
}

void FakeRuntime::ComeBack() {
  absl::MutexLock lock(&mu_);
  missing_since_.reset();
}

void FakeRuntime::AddImage(const std::string& reference, const std::string& id) {
  absl::MutexLock lock(&mu_);
  images_[reference] = id;
  images_[id] = id;
  Tell("image", "tag", id);
}

void FakeRuntime::RemoveImage(const std::string& reference) {
  absl::MutexLock lock(&mu_);
  images_.erase(reference);
  Tell("image", "delete", reference);
}

void FakeRuntime::SetHealth(const std::string& name, Health::Status status) {
  absl::MutexLock lock(&mu_);
  absl::StatusOr<Container*> container = Find(name);
  if (!container.ok()) return;
  (*container)->mutable_health()->set_status(status);
  Change(**container, "health_status");
}

void FakeRuntime::Exit(const std::string& name, int code) {
  absl::MutexLock lock(&mu_);
  absl::StatusOr<Container*> container = Find(name);
  if (container.ok()) End(**container, code);
}

void FakeRuntime::StopByUser(const std::string& name) {
  absl::MutexLock lock(&mu_);
  absl::StatusOr<Container*> container = Find(name);
  if (!container.ok()) return;
  (*container)->set_stop_requested(true);
  End(**container, 143);
}

void FakeRuntime::DeleteByUser(const std::string& name) {
  absl::MutexLock lock(&mu_);
  absl::StatusOr<Container*> container = Find(name);
  if (!container.ok()) return;
  const std::string id = (*container)->id();
  TellOf(**container, "destroy");
  containers_.erase(id);
}

void FakeRuntime::FailStart(const std::string& name, absl::Status status) {
  absl::MutexLock lock(&mu_);
  failing_starts_[name] = std::move(status);
}

void FakeRuntime::LoseAnswer(const std::string& verb) {
  absl::MutexLock lock(&mu_);
  lost_answers_.insert(verb);
}

void FakeRuntime::TrimEvents() {
  absl::MutexLock lock(&mu_);
  events_.clear();
}

std::map<std::string, Container> FakeRuntime::containers() const {
  absl::MutexLock lock(&mu_);
  std::map<std::string, Container> by_name;
  for (const auto& [id, container] : containers_) by_name[container.name()] = container;
  return by_name;
}

std::set<std::string> FakeRuntime::networks() const {
  absl::MutexLock lock(&mu_);
  std::set<std::string> names;
  for (const auto& [name, network] : networks_) names.insert(name);
  return names;
}

std::set<std::string> FakeRuntime::volumes() const {
  absl::MutexLock lock(&mu_);
  std::set<std::string> names;
  for (const auto& [name, volume] : volumes_) names.insert(name);
  return names;
}

std::vector<std::string> FakeRuntime::journal() const {
  absl::MutexLock lock(&mu_);
  return journal_;
}

int64_t FakeRuntime::calls() const {
  absl::MutexLock lock(&mu_);
  return calls_;
}

absl::Status FakeRuntime::Enter() {
  ++calls_;
  if (missing_since_ || canceled_) return absl::UnavailableError("runtime is missing");
  return absl::OkStatus();
}

absl::Status FakeRuntime::Leave(const std::string& verb) {
  if (lost_answers_.erase(verb) == 0) return absl::OkStatus();
  return absl::UnavailableError("the connection broke");
}

absl::StatusOr<Container*> FakeRuntime::Find(absl::string_view id) {
  for (auto& [key, container] : containers_) {
    if (key == id || container.name() == id) return &container;
  }
  return Gone(absl::StrCat("container ", id));
}

Event& FakeRuntime::Tell(absl::string_view kind, absl::string_view action, const std::string& id) {
  Event event;
  event.set_sequence(++sequence_);
  event.set_kind(std::string(kind));
  event.set_action(std::string(action));
  event.set_id(id);
  events_.push_back(std::move(event));
  return events_.back();
}

void FakeRuntime::TellOf(const Container& container, absl::string_view action) {
  Event& event = Tell("container", action, container.id());
  for (const auto& [key, value] : container.spec().labels()) {
    (*event.mutable_attributes())[key] = value;
  }
}

void FakeRuntime::Note(absl::string_view verb, const Container& container) {
  journal_.push_back(absl::StrCat(verb, " ", container.name()));
}

void FakeRuntime::Change(Container& container, absl::string_view action) {
  container.set_revision(container.revision() + 1);
  TellOf(container, action);
}

void FakeRuntime::Run(Container& container) {
  container.set_state(CONTAINER_STATE_RUNNING);
  container.set_stop_requested(false);
  *container.mutable_start_time() = ToTimestamp(clock_.Now());
  if (!container.spec().healthcheck().test().empty())
    container.mutable_health()->set_status(Health::STARTING);
  Change(container, "start");
}

void FakeRuntime::End(Container& container, int code) {
  container.set_state(CONTAINER_STATE_EXITED);
  container.set_exit_code(code);
  *container.mutable_finish_time() = ToTimestamp(clock_.Now());
  Change(container, "die");
}

std::optional<absl::Time> FakeRuntime::MissingSince() const {
  absl::MutexLock lock(&mu_);
  return missing_since_;
}

bool FakeRuntime::WaitUntilPresent(absl::Time) {
  absl::MutexLock lock(&mu_);
  const auto settled = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return canceled_ || !missing_since_;
  };
  mu_.AwaitWithTimeout(absl::Condition(&settled), absl::Milliseconds(50));
  return !canceled_ && !missing_since_;
}

absl::StatusOr<Container> FakeRuntime::CreateContainer(const ContainerSpec& spec,
                                                       absl::string_view request_id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  const auto before = requests_.find(std::string(request_id));
  if (before != requests_.end() && containers_.contains(before->second))
    return containers_[before->second];
  if (before != requests_.end()) {
    return absl::FailedPreconditionError("the container that this request made was deleted since");
  }
  if (Find(spec.name()).ok())
    return absl::AlreadyExistsError(absl::StrCat("the name ", spec.name(), " is taken"));
  const auto image = images_.find(spec.image());
  if (image == images_.end()) return Gone(absl::StrCat("image ", spec.image()));
  Container container;
  container.set_id(absl::StrCat("id", next_id_++));
  container.set_name(spec.name());
  *container.mutable_spec() = spec;
  container.set_image_id(image->second);
  container.set_state(CONTAINER_STATE_CREATED);
  *container.mutable_create_time() = ToTimestamp(clock_.Now());
  requests_[std::string(request_id)] = container.id();
  Note("create", container);
  Container& kept = containers_[container.id()] = container;
  Change(kept, "create");
  RETURN_IF_ERROR(Leave("create"));
  return kept;
}

absl::StatusOr<Container> FakeRuntime::StartContainer(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  ASSIGN_OR_RETURN(Container * container, Find(id));
  if (container->state() == CONTAINER_STATE_RUNNING)
    return absl::FailedPreconditionError("it runs already");
  const auto failing = failing_starts_.find(container->name());
  if (failing != failing_starts_.end()) {
    absl::Status status = failing->second;
    failing_starts_.erase(failing);
    return status;
  }
  Note("start", *container);
  Run(*container);
  RETURN_IF_ERROR(Leave("start"));
  return *container;
}

absl::StatusOr<Container> FakeRuntime::StopContainer(absl::string_view id,
                                                     std::optional<absl::Duration>,
                                                     absl::Duration) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  ASSIGN_OR_RETURN(Container * container, Find(id));
  if (container->state() == CONTAINER_STATE_RUNNING) {
    Note("stop", *container);
    container->set_stop_requested(true);
    End(*container, 143);
  }
  RETURN_IF_ERROR(Leave("stop"));
  return *container;
}

absl::StatusOr<Container> FakeRuntime::RestartContainer(absl::string_view id, absl::Duration) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  ASSIGN_OR_RETURN(Container * container, Find(id));
  Note("restart", *container);
  End(*container, 143);
  Run(*container);
  RETURN_IF_ERROR(Leave("restart"));
  return *container;
}

absl::Status FakeRuntime::DeleteContainer(absl::string_view id, bool) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  absl::StatusOr<Container*> container = Find(id);
  if (!container.ok()) return absl::OkStatus();
  Note("delete", **container);
  TellOf(**container, "destroy");
  containers_.erase(std::string((*container)->id()));
  return Leave("delete");
}

absl::StatusOr<Container> FakeRuntime::GetContainer(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  ASSIGN_OR_RETURN(Container * container, Find(id));
  return *container;
}

absl::StatusOr<std::vector<Container>> FakeRuntime::ListContainers(absl::string_view label) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  std::vector<Container> all;
  for (const auto& [id, container] : containers_) {
    if (container.spec().labels().contains(std::string(label))) all.push_back(container);
  }
  return all;
}

absl::StatusOr<Network> FakeRuntime::CreateNetwork(const CreateNetworkRequest& request) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  Network& network = networks_[request.name()];
  network.set_id(absl::StrCat("net-", request.name()));
  network.set_name(request.name());
  network.set_subnet(request.subnet());
  *network.mutable_labels() = request.labels();
  journal_.push_back(absl::StrCat("create network ", request.name()));
  Tell("network", "create", network.id());
  return network;
}

absl::Status FakeRuntime::DeleteNetwork(absl::string_view name) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  for (const auto& [id, container] : containers_) {
    for (const NetworkAttachment& attachment : container.spec().networks()) {
      if (attachment.network() == name)
        return absl::FailedPreconditionError("the network is in use");
    }
  }
  networks_.erase(std::string(name));
  journal_.push_back(absl::StrCat("delete network ", name));
  Tell("network", "destroy", absl::StrCat("net-", name));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Network>> FakeRuntime::ListNetworks() {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  std::vector<Network> all;
  for (const auto& [name, network] : networks_) all.push_back(network);
  return all;
}

absl::StatusOr<Volume> FakeRuntime::CreateVolume(const CreateVolumeRequest& request) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  Volume& volume = volumes_[request.name()];
  volume.set_name(request.name());
  *volume.mutable_labels() = request.labels();
  Tell("volume", "create", request.name());
  return volume;
}

absl::Status FakeRuntime::DeleteVolume(absl::string_view name) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  volumes_.erase(std::string(name));
  Tell("volume", "destroy", std::string(name));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Volume>> FakeRuntime::ListVolumes() {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  std::vector<Volume> all;
  for (const auto& [name, volume] : volumes_) all.push_back(volume);
  return all;
}

absl::StatusOr<std::string> FakeRuntime::FindImage(absl::string_view reference) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  const auto found = images_.find(std::string(reference));
  if (found == images_.end()) return Gone(absl::StrCat("image ", reference));
  return found->second;
}

absl::StatusOr<Runtime::Position> FakeRuntime::EventPosition() {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  return Position{.newest = sequence_,
                  .oldest = events_.empty() ? sequence_ + 1 : events_.front().sequence()};
}

absl::Status FakeRuntime::WatchEvents(int64_t after_sequence, absl::string_view container_label,
                                      const OnEvents& on_events) {
  for (;;) {
    std::vector<Event> news;
    {
      absl::MutexLock lock(&mu_);
      const auto ready = [this, after_sequence]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return canceled_ || missing_since_ || sequence_ > after_sequence;
      };
      mu_.Await(absl::Condition(&ready));
      if (canceled_ || missing_since_) return absl::UnavailableError("runtime is missing");
      for (const Event& event : events_) {
        if (event.sequence() <= after_sequence) continue;
        if (event.kind() == "container" &&
            !event.attributes().contains(std::string(container_label))) {
          continue;
        }
        news.push_back(event);
      }
      after_sequence = sequence_;
    }
    RETURN_IF_ERROR(on_events(news, after_sequence));
  }
}

void FakeRuntime::Cancel() {
  absl::MutexLock lock(&mu_);
  canceled_ = true;
}

}  // namespace darse::scheduler
