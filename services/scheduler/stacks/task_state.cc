#include "services/scheduler/stacks/task_state.h"

#include "absl/strings/str_cat.h"

namespace darse::scheduler {
namespace {

using runtime::v1::Container;
using runtime::v1::RestartPolicy;

std::string HowItEnded(const Container& container) {
  if (container.oom_killed()) return "was killed for want of memory";
  return absl::StrCat("exited with ", container.exit_code());
}

TaskView Exited(const Container& container, absl::Time up_time) {
  const bool before_up = FromProto(container.finish_time()) < up_time;
  const RestartPolicy& policy = container.spec().restart_policy();
  if (container.stop_requested()) return {v1::TASK_STATE_STOPPED, before_up, "was stopped"};
  switch (policy.kind()) {
    case RestartPolicy::ALWAYS:
    case RestartPolicy::UNLESS_STOPPED:
      return {v1::TASK_STATE_STOPPED, true, HowItEnded(container)};
    case RestartPolicy::ON_FAILURE: {
      if (container.exit_code() == 0) return {v1::TASK_STATE_COMPLETED, false, ""};
      const bool retries_left =
          policy.max_retries() == 0 || container.restart_count() < policy.max_retries();
      return {v1::TASK_STATE_FAILED, retries_left || before_up, HowItEnded(container)};
    }
    default:
      if (container.exit_code() == 0) return {v1::TASK_STATE_COMPLETED, false, ""};
      return {v1::TASK_STATE_FAILED, before_up, HowItEnded(container)};
  }
}

}  // namespace

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

TaskView ViewOf(const Container* container, absl::Time up_time) {
  if (container == nullptr) return {v1::TASK_STATE_PENDING, false, "is not there"};
  switch (container->state()) {
    case runtime::v1::CONTAINER_STATE_RUNNING:
    case runtime::v1::CONTAINER_STATE_PAUSED:
      return {v1::TASK_STATE_RUNNING, false, ""};
    case runtime::v1::CONTAINER_STATE_RESTARTING:
      return {v1::TASK_STATE_RUNNING, false,
              absl::StrCat("is being restarted: ", HowItEnded(*container))};
    case runtime::v1::CONTAINER_STATE_EXITED:
      // One that never ran has no end that a policy could be asked about.
      if (!container->has_start_time()) return {v1::TASK_STATE_PENDING, true, "is not started yet"};
      return Exited(*container, up_time);
    default:
      return {v1::TASK_STATE_PENDING, true, "is not started yet"};
  }
}

bool Satisfies(const Container& container, v1::Dependency::Condition condition) {
  const bool running = container.state() == runtime::v1::CONTAINER_STATE_RUNNING ||
                       container.state() == runtime::v1::CONTAINER_STATE_PAUSED;
  const bool exited =
      container.state() == runtime::v1::CONTAINER_STATE_EXITED && container.has_start_time();
  switch (condition) {
    case v1::Dependency::HEALTHY:
      return running && container.health().status() == runtime::v1::Health::HEALTHY;
    case v1::Dependency::COMPLETED:
      return exited && container.exit_code() == 0;
    default:
      // One that has done its work was started too.
      return running || (exited && container.exit_code() == 0);
  }
}

bool CannotSatisfy(const Container& container, v1::Dependency::Condition condition) {
  const bool running = container.state() == runtime::v1::CONTAINER_STATE_RUNNING;
  const bool failed = container.state() == runtime::v1::CONTAINER_STATE_EXITED &&
                      container.has_start_time() && container.exit_code() != 0;
  if (condition == v1::Dependency::HEALTHY && running) {
    return container.health().status() == runtime::v1::Health::STATUS_UNSPECIFIED;
  }
  return failed;
}

}  // namespace darse::scheduler
