#include "services/scheduler/stacks/converge_engine.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "services/scheduler/stacks/container_config.h"
#include "services/scheduler/stacks/stack_store.h"

namespace darse::scheduler {
namespace {

using runtime::v1::Container;
using Action = v1::PlanStep;

absl::Duration StopTime(const runtime::v1::ContainerSpec& spec) {
  if (!spec.has_stop_timeout()) return absl::Seconds(10);
  return absl::Seconds(spec.stop_timeout().seconds()) +
         absl::Nanoseconds(spec.stop_timeout().nanos());
}

absl::Status NoService(absl::string_view name) {
  return absl::NotFoundError(absl::StrCat("service ", name, " is not in the stack any more"));
}

bool HasEnded(const builder::v1::Build& build) {
  return build.state() == builder::v1::BUILD_STATE_SUCCEEDED ||
         build.state() == builder::v1::BUILD_STATE_FAILED ||
         build.state() == builder::v1::BUILD_STATE_CANCELED;
}

}  // namespace

absl::Status ConvergeEngine::Take(const std::string& stack, const Step& step) {
  const StackPtr desired = book_.Find(stack);
  if (desired == nullptr) return absl::OkStatus();
  switch (step.action) {
    case Action::CREATE_NETWORK:
      return CreateNetwork(*desired, step);
    case Action::CREATE_VOLUME:
      return CreateVolume(*desired, step);
    case Action::BUILD_IMAGE:
      return Build(*desired, step);
    case Action::CREATE_CONTAINER:
      return Create(*desired, step);
    case Action::RECREATE_CONTAINER:
      return Recreate(*desired, step);
    case Action::START_CONTAINER:
      return StartTask(*desired, step);
    case Action::RESTART_CONTAINER:
      return Restart(*desired, step);
    case Action::STOP_CONTAINER:
    case Action::DELETE_CONTAINER:
      return Delete(*desired, step);
    case Action::DELETE_NETWORK:
      RETURN_IF_ERROR(Annotate(runtime_.DeleteNetwork(step.name),
                               absl::StrCat("deleting network ", step.name)));
      cache_.RemoveNetwork(step.name);
      board_.Tell(stack, absl::StrCat("network ", step.name, " deleted"));
      return absl::OkStatus();
    case Action::DELETE_VOLUME:
      RETURN_IF_ERROR(
          Annotate(runtime_.DeleteVolume(step.name), absl::StrCat("deleting volume ", step.name)));
      cache_.RemoveVolume(step.name);
      board_.Tell(stack, absl::StrCat("volume ", step.name, " deleted"));
      return absl::OkStatus();
    default:
      return absl::OkStatus();
  }
}

absl::Status ConvergeEngine::PinImages(const std::string& stack) {
  const StackPtr desired = book_.Find(stack);
  if (desired == nullptr || desired->removing) return absl::OkStatus();
  std::map<std::string, std::string> pins;
  for (const v1::ServiceSpec& service : desired->spec.services()) {
    const auto record = desired->services.find(service.name());
    const bool pinned = record != desired->services.end() && !record->second.image_id.empty();
    if (service.has_build() || pinned) continue;
    const std::string id = survey_.ImageOf(*desired, service).id;
    if (!id.empty()) pins[service.name()] = id;
  }
  if (pins.empty()) return absl::OkStatus();
  return book_.Update(stack, [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
    for (const auto& [service, id] : pins) changed.services[service].image_id = id;
    return absl::OkStatus();
  });
}

absl::Status ConvergeEngine::CreateNetwork(const DesiredStack& desired, const Step& step) {
  for (const v1::NetworkSpec& network : desired.spec.networks()) {
    if (network.name() != step.name) continue;
    runtime::v1::CreateNetworkRequest request;
    request.set_name(network.name());
    request.set_subnet(network.subnet());
    request.set_internal(network.internal());
    *request.mutable_labels() = network.labels();
    (*request.mutable_labels())[kStackLabel] = desired.spec.name();
    (*request.mutable_labels())[kHashLabel] = NetworkHash(network);
    (*request.mutable_labels())["com.docker.compose.project"] = desired.spec.name();
    (*request.mutable_labels())["com.docker.compose.network"] = network.key();
    ASSIGN_OR_RETURN(runtime::v1::Network made,
                     Annotate(runtime_.CreateNetwork(request),
                              absl::StrCat("creating network ", network.name())));
    cache_.PutNetwork(made);
    board_.Tell(desired.spec.name(), absl::StrCat("network ", network.name(), " created"));
  }
  return absl::OkStatus();
}

absl::Status ConvergeEngine::CreateVolume(const DesiredStack& desired, const Step& step) {
  for (const v1::VolumeSpec& volume : desired.spec.volumes()) {
    if (volume.name() != step.name) continue;
    runtime::v1::CreateVolumeRequest request;
    request.set_name(volume.name());
    *request.mutable_labels() = volume.labels();
    (*request.mutable_labels())[kStackLabel] = desired.spec.name();
    (*request.mutable_labels())["com.docker.compose.project"] = desired.spec.name();
    (*request.mutable_labels())["com.docker.compose.volume"] = volume.key();
    ASSIGN_OR_RETURN(
        runtime::v1::Volume made,
        Annotate(runtime_.CreateVolume(request), absl::StrCat("creating volume ", volume.name())));
    cache_.PutVolume(made);
    board_.Tell(desired.spec.name(), absl::StrCat("volume ", volume.name(), " created"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ConvergeEngine::RequestFor(const std::string& stack, const Slot& slot) {
  std::string request_id;
  RETURN_IF_ERROR(
      book_.Update(stack, [&](sqlite::Transaction& tx, DesiredStack& desired) -> absl::Status {
        TaskRecord& task = desired.tasks[slot];
        if (task.request_id.empty()) {
          ASSIGN_OR_RETURN(int64_t number, StackStore::NextRequestNumber(tx));
          // The time tells apart what two databases counted, should one ever be set aside.
          task.request_id =
              absl::StrCat(TaskId(stack, slot), "/", number, "/", absl::ToUnixMillis(clock_.Now()));
        }
        request_id = task.request_id;
        return absl::OkStatus();
      }));
  return request_id;
}

absl::Status ConvergeEngine::ForgetRequest(const std::string& stack, const Slot& slot) {
  return book_.Update(stack, [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
    changed.tasks[slot].request_id.clear();
    return absl::OkStatus();
  });
}

absl::Status ConvergeEngine::Create(const DesiredStack& desired, const Step& step) {
  const std::string& stack = desired.spec.name();
  const v1::ServiceSpec* service = desired.FindService(step.subject);
  if (service == nullptr) return NoService(step.subject);
  const Slot slot{step.subject, step.slot};
  const std::string image_id = survey_.ImageOf(desired, *service).id;
  if (image_id.empty())
    return absl::UnavailableError(absl::StrCat("the image of ", step.subject, " is not known"));
  // A reference that means something else by now would bring another image in.
  bool missing = false;
  const std::string& reference = service->container().image();
  const std::string image =
      survey_.FindImage(reference, &missing) == image_id ? reference : image_id;
  const std::string hash = ConfigHash(desired.spec, *service, step.slot, image_id);
  ASSIGN_OR_RETURN(std::string request_id, RequestFor(stack, slot));
  absl::StatusOr<Container> made = runtime_.CreateContainer(
      MakeContainerSpec(desired.spec, *service, step.slot, image, hash), request_id);
  if (!made.ok() && !absl::IsUnavailable(made.status()) &&
      !absl::IsDeadlineExceeded(made.status())) {
    // The runtime said no: this request is over, the next try is another one.
    RETURN_IF_ERROR(ForgetRequest(stack, slot));
  }
  if (absl::IsNotFound(made.status())) {
    // Perhaps the image was deleted: what the reference means is looked up again before the next
    // try.
    cache_.ForgetImages();
    book_
        .Update(stack,
                [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
                  changed.services[step.subject].image_id.clear();
                  return absl::OkStatus();
                })
        .IgnoreError();
  }
  if (!made.ok()) return Annotate(made.status(), absl::StrCat("creating container ", step.name));
  cache_.PutContainer(*made, clock_.Now());
  RETURN_IF_ERROR(
      book_.Update(stack, [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
        TaskRecord& task = changed.tasks[slot];
        task.request_id.clear();
        task.made_of = *service;
        task.made_of_image = image_id;
        return absl::OkStatus();
      }));
  board_.Tell(stack, absl::StrCat("container ", step.name, " created"));
  return absl::OkStatus();
}

absl::Status ConvergeEngine::Remove(const DesiredStack& desired, const std::string& container_id,
                                    bool delete_volumes) {
  const Observed seen = cache_.Snapshot();
  const auto found = seen.containers.find(container_id);
  const absl::Duration own = found == seen.containers.end()
                                 ? absl::Seconds(10)
                                 : StopTime(found->second.container->spec());
  const std::optional<absl::Duration> timeout =
      desired.removing ? desired.stop_timeout : std::nullopt;
  const absl::StatusOr<Container> stopped =
      runtime_.StopContainer(container_id, timeout, timeout.value_or(own));
  if (!stopped.ok() && !absl::IsNotFound(stopped.status())) return stopped.status();
  RETURN_IF_ERROR(runtime_.DeleteContainer(container_id, delete_volumes));
  cache_.RemoveContainer(container_id);
  return absl::OkStatus();
}

absl::Status ConvergeEngine::Recreate(const DesiredStack& desired, const Step& step) {
  board_.Tell(desired.spec.name(),
              absl::StrCat("container ", step.name, " is made again: ", step.reason));
  RETURN_IF_ERROR(Annotate(Remove(desired, step.container_id, /*delete_volumes=*/false),
                           absl::StrCat("replacing container ", step.name)));
  // What an earlier life asked for and did not record was just deleted: it must not be asked for
  // again.
  RETURN_IF_ERROR(ForgetRequest(desired.spec.name(), {step.subject, step.slot}));
  Step create = step;
  if (const v1::ServiceSpec* service = desired.FindService(step.subject)) {
    create.name = ContainerName(desired.spec, *service, step.slot);
  }
  RETURN_IF_ERROR(Create(desired, create));
  return book_.Update(desired.spec.name(),
                      [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
                        RestartDependents(changed, step.subject);
                        return absl::OkStatus();
                      });
}

void ConvergeEngine::RestartDependents(DesiredStack& stack, const std::string& service) const {
  for (const v1::ServiceSpec& other : stack.spec.services()) {
    for (const v1::Dependency& dependency : other.depends_on()) {
      if (dependency.service() == service && dependency.restart()) {
        stack.services[other.name()].restart_time = clock_.Now();
      }
    }
  }
}

absl::Status ConvergeEngine::StartTask(const DesiredStack& desired, const Step& step) {
  absl::StatusOr<Container> started = runtime_.StartContainer(step.container_id);
  if (!started.ok()) {
    // Its record says more than the error, and it may run already.
    absl::StatusOr<Container> now = runtime_.GetContainer(step.container_id);
    if (absl::IsNotFound(now.status())) cache_.RemoveContainer(step.container_id);
    if (now.ok()) cache_.PutContainer(*now, clock_.Now());
    const bool runs = now.ok() && now->state() == runtime::v1::CONTAINER_STATE_RUNNING;
    if (!runs) return Annotate(started.status(), absl::StrCat("starting container ", step.name));
    started = std::move(now);
  }
  cache_.PutContainer(*started, clock_.Now());
  board_.Tell(desired.spec.name(), absl::StrCat("container ", step.name, " started"));
  return absl::OkStatus();
}

absl::Status ConvergeEngine::Restart(const DesiredStack& desired, const Step& step) {
  const Observed seen = cache_.Snapshot();
  const auto found = seen.containers.find(step.container_id);
  const absl::Duration longest = found == seen.containers.end()
                                     ? absl::Seconds(10)
                                     : StopTime(found->second.container->spec());
  ASSIGN_OR_RETURN(Container restarted,
                   Annotate(runtime_.RestartContainer(step.container_id, longest),
                            absl::StrCat("restarting container ", step.name)));
  RETURN_IF_ERROR(book_.Update(desired.spec.name(),
                               [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
                                 RestartDependents(changed, step.subject);
                                 return absl::OkStatus();
                               }));
  cache_.PutContainer(restarted, clock_.Now());
  board_.Tell(desired.spec.name(), absl::StrCat("container ", step.name, " restarted"));
  return absl::OkStatus();
}

absl::Status ConvergeEngine::Delete(const DesiredStack& desired, const Step& step) {
  RETURN_IF_ERROR(
      Annotate(Remove(desired, step.container_id, desired.removing && desired.delete_volumes),
               absl::StrCat("deleting container ", step.name)));
  board_.Tell(desired.spec.name(), absl::StrCat("container ", step.name, " deleted"));
  return absl::OkStatus();
}

// --- builds
// -------------------------------------------------------------------------------------------------------

absl::Status ConvergeEngine::RecordBuildError(const std::string& stack,
                                              const v1::ServiceSpec& service,
                                              absl::string_view error) {
  board_.Tell(stack, absl::StrCat("building ", service.name(), " failed: ", error));
  return book_.Update(stack, [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
    ServiceRecord& record = changed.services[service.name()];
    record.build_key = BuildKey(service.build(), record.rebuild);
    record.build_id.clear();
    record.build_error = error.empty() ? "failed" : std::string(error);
    return absl::OkStatus();
  });
}

absl::Status ConvergeEngine::SendContext(const v1::ServiceSpec& service) {
  const std::string& digest = service.build().context_digest();
  if (digest.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(bool there, builder_.HasContext(digest));
  if (there) return absl::OkStatus();
  ASSIGN_OR_RETURN(bool here, contexts_.Has(digest));
  if (!here) {
    return absl::FailedPreconditionError(
        "its context is neither here nor at the builder: run `darse up` again");
  }
  ASSIGN_OR_RETURN(std::string path, contexts_.PathOf(digest));
  return builder_.UploadContext(digest, path);
}

absl::Status ConvergeEngine::BeginBuild(const std::string& stack, const v1::ServiceSpec& service,
                                        std::string* build_id) {
  RETURN_IF_ERROR(SendContext(service));
  std::string request_id;
  RETURN_IF_ERROR(
      book_.Update(stack, [&](sqlite::Transaction& tx, DesiredStack& changed) -> absl::Status {
        ServiceRecord& record = changed.services[service.name()];
        ASSIGN_OR_RETURN(record.build_attempt, StackStore::NextRequestNumber(tx));
        record.build_key = BuildKey(service.build(), record.rebuild);
        record.build_id.clear();
        record.build_image_id.clear();
        record.build_error.clear();
        request_id = absl::StrCat(stack, "/", service.name(), "/build/", record.build_attempt, "/",
                                  absl::ToUnixMillis(clock_.Now()));
        return absl::OkStatus();
      }));
  ASSIGN_OR_RETURN(builder::v1::Build build, builder_.CreateBuild(service.build(), request_id));
  *build_id = build.id();
  board_.Tell(stack, absl::StrCat("building ", service.name(), " (build ", build.id(), ")"));
  return book_.Update(stack, [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
    changed.services[service.name()].build_id = build.id();
    return absl::OkStatus();
  });
}

absl::Status ConvergeEngine::FollowBuild(const std::string& stack, const v1::ServiceSpec& service,
                                         const std::string& build_id) {
  RETURN_IF_ERROR(builder_.WatchBuild(build_id, 0, [&](const builder::v1::BuildEvent& event) {
    if (event.has_step_started()) {
      board_.Tell(stack, absl::StrCat(service.name(), ": ", event.step_started().name()));
    } else if (event.has_step_finished() && event.step_finished().cached()) {
      board_.Tell(stack,
                  absl::StrCat(service.name(), ": step ", event.step_finished().step(), " cached"));
    } else if (!event.warning().empty()) {
      board_.Tell(stack, absl::StrCat(service.name(), ": ", event.warning()));
    }
  }));
  ASSIGN_OR_RETURN(builder::v1::Build build, builder_.GetBuild(build_id));
  if (!HasEnded(build)) return absl::UnavailableError("the builder stopped telling about a build");
  if (build.state() != builder::v1::BUILD_STATE_SUCCEEDED) {
    const bool canceled = build.state() == builder::v1::BUILD_STATE_CANCELED;
    return RecordBuildError(stack, service, canceled ? "the build was canceled" : build.error());
  }
  cache_.PutImage(build.image_id(), build.image_id());
  RETURN_IF_ERROR(
      book_.Update(stack, [&](sqlite::Transaction&, DesiredStack& changed) -> absl::Status {
        ServiceRecord& record = changed.services[service.name()];
        // Another build may be wanted by now.
        if (record.build_id != build_id) return absl::OkStatus();
        record.build_image_id = build.image_id();
        record.build_error.clear();
        // Services that run the image by the name that was just given to it.
        const auto& tags = service.build().tags();
        for (const v1::ServiceSpec& other : changed.spec.services()) {
          const std::string& image = other.container().image();
          if (!other.has_build() && std::find(tags.begin(), tags.end(), image) != tags.end()) {
            changed.services[other.name()].image_id = build.image_id();
          }
        }
        return absl::OkStatus();
      }));
  board_.Tell(stack, absl::StrCat("image of ", service.name(), " built: ", build.steps_total(),
                                  " steps, ", build.steps_cached(), " cached"));
  return absl::OkStatus();
}

absl::Status ConvergeEngine::Build(const DesiredStack& desired, const Step& step) {
  const std::string& stack = desired.spec.name();
  const v1::ServiceSpec* service = desired.FindService(step.subject);
  if (service == nullptr) return NoService(step.subject);
  const auto found = desired.services.find(step.subject);
  std::string build_id;
  absl::Status status;
  if (found != desired.services.end() && !found->second.build_id.empty() &&
      found->second.build_image_id.empty() && found->second.build_error.empty() &&
      found->second.build_key == BuildKey(service->build(), found->second.rebuild)) {
    // Begun before a restart of ours or the builder's.
    build_id = found->second.build_id;
    status = FollowBuild(stack, *service, build_id);
    if (!absl::IsNotFound(status)) build_id.clear();
    if (build_id.empty())
      return absl::IsUnavailable(status) ? status : Annotate(status, "building");
  }
  status = BeginBuild(stack, *service, &build_id);
  if (status.ok()) status = FollowBuild(stack, *service, build_id);
  const bool bad_input = absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
                         absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
  if (bad_input) return RecordBuildError(stack, *service, status.message());
  return Annotate(status, absl::StrCat("building ", service->name()));
}

}  // namespace darse::scheduler
