// Verbs on containers that are there: stop, kill, restart, pause, delete, update.
#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/containers/proto_duration.h"
#include "services/runtime/containers/spec_check.h"
#include "services/runtime/shims/shim_policy.h"

namespace darse::runtime {
namespace {

constexpr absl::Duration kDefaultStopTimeout = absl::Seconds(10);
// After SIGKILL: a process in the kernel's hands may take a while.
constexpr absl::Duration kKillTimeout = absl::Seconds(30);

absl::Duration StopTimeout(const ContainerRecord& record, std::optional<absl::Duration> timeout) {
  if (timeout) return *timeout;
  if (!record.merged.has_stop_timeout()) return kDefaultStopTimeout;
  return ToDuration(record.merged.stop_timeout());
}

absl::Status About(const ContainerRecord& record, absl::string_view doing, absl::Status status) {
  return Annotate(status, absl::StrCat(doing, " container \"", record.name, "\""));
}

cgroup::Limits ToLimits(const v1::Resources& resources) {
  cgroup::Limits limits;
  if (resources.memory_limit_bytes() > 0) {
    limits.memory_bytes = resources.memory_limit_bytes();
    limits.memory_and_swap_bytes = resources.memory_swap_limit_bytes() != 0
                                       ? resources.memory_swap_limit_bytes()
                                       : 2 * resources.memory_limit_bytes();
  }
  if (resources.memory_reservation_bytes() > 0) {
    limits.memory_reservation_bytes = resources.memory_reservation_bytes();
  }
  if (resources.cpu_shares() > 0) {
    limits.cpu_shares = static_cast<uint64_t>(std::max<int64_t>(resources.cpu_shares(), 2));
  }
  if (resources.nano_cpus() > 0) {
    limits.cpu_quota_us = resources.nano_cpus() / 10'000;
    limits.cpu_period_us = 100'000;
  }
  limits.cpuset_cpus = resources.cpuset_cpus();
  if (resources.pids_limit() != 0) limits.pids_max = resources.pids_limit();
  return limits;
}

}  // namespace

absl::Status ContainerEngine::StopLive(const std::string& id, std::optional<absl::Duration> timeout,
                                       absl::string_view actor) {
  absl::Duration patience;
  {
    KeyedLocks::Hold hold = locks_.Lock(id);
    ASSIGN_OR_RETURN(ContainerRecord record, Read(id));
    if (!IsLive(record.state)) return absl::OkStatus();
    patience = StopTimeout(record, timeout);
    // Before the signal: whoever sees the exit knows that it was asked for.
    record.stop_requested = true;
    std::vector<NewEvent> events;
    if (record.state == ContainerState::kPaused) {
      RETURN_IF_ERROR(cgroups_.Thaw(record.cgroup_path));
      ASSIGN_OR_RETURN(record.state, Next(record.state, Verb::kUnpause));
      events.push_back(Event(record, "unpause", actor));
    }
    events.push_back(Event(record, "kill", actor, {{"signal", record.merged.stop_signal()}}));
    RETURN_IF_ERROR(Commit(record, events));
    shim::RequestKind kind =
        patience > absl::ZeroDuration() ? shim::RequestKind::kStop : shim::RequestKind::kShutdown;
    absl::StatusOr<ShimAnswer> asked = Ask(id, {.kind = kind});
    // A shim that is gone is noticed by its closed connection.
    if (!asked.ok() && !absl::IsUnavailable(asked.status())) {
      return About(record, "stopping", asked.status());
    }
  }
  if (patience > absl::ZeroDuration()) {
    if (WaitUntilDown(id, clock_.Now() + patience)) return absl::OkStatus();
    Ask(id, {.kind = shim::RequestKind::kShutdown}).status().IgnoreError();
  }
  if (WaitUntilDown(id, clock_.Now() + kKillTimeout)) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("container ", id.substr(0, 12), " does not end, even after SIGKILL"));
}

absl::StatusOr<ContainerRecord> ContainerEngine::Stop(absl::string_view reference,
                                                      std::optional<absl::Duration> timeout,
                                                      absl::string_view actor) {
  ASSIGN_OR_RETURN(ContainerRecord before, Get(reference));
  RETURN_IF_ERROR(StopLive(before.id, timeout, actor));
  absl::StatusOr<ContainerRecord> after = Read(before.id);
  // Removed by itself when it exited.
  if (!absl::IsNotFound(after.status())) return after;
  before.state = ContainerState::kExited;
  before.pid = 0;
  return before;
}

absl::Status ContainerEngine::Kill(absl::string_view reference, absl::string_view signal_name,
                                   absl::string_view actor) {
  int signal = SIGKILL;
  if (!signal_name.empty()) {
    ASSIGN_OR_RETURN(signal, ParseSignal(signal_name));
  }
  ASSIGN_OR_RETURN(std::string id, FindId(reference));
  KeyedLocks::Hold hold = locks_.Lock(id);
  ASSIGN_OR_RETURN(ContainerRecord record, Read(id));
  std::vector<NewEvent> events;
  bool kill = signal == SIGKILL;
  bool paused = record.state == ContainerState::kPaused;
  if (kill && paused) {
    // A frozen process dies only when it thaws.
    ASSIGN_OR_RETURN(record.state, Next(record.state, Verb::kUnpause));
    events.push_back(Event(record, "unpause", actor));
  }
  bool backing_off = record.state == ContainerState::kRestarting;
  if (!(kill && backing_off)) {
    ASSIGN_OR_RETURN(record.state,
                     Annotate(Next(record.state, Verb::kSignal),
                              absl::StrCat("signalling container \"", record.name, "\"")));
  }
  events.push_back(Event(record, "kill", actor, {{"signal", absl::StrCat(signal)}}));
  if (kill) record.stop_requested = true;
  RETURN_IF_ERROR(Commit(record, events));
  shim::Request request{.kind = shim::RequestKind::kSignal, .signal = signal};
  if (kill && backing_off) request = {.kind = shim::RequestKind::kStop};
  RETURN_IF_ERROR(About(record, "signalling", Ask(id, request).status()));
  if (kill && paused) return cgroups_.Thaw(record.cgroup_path);
  return absl::OkStatus();
}

absl::StatusOr<ContainerRecord> ContainerEngine::Restart(absl::string_view reference,
                                                         std::optional<absl::Duration> timeout,
                                                         absl::string_view actor) {
  ASSIGN_OR_RETURN(ContainerRecord before, Get(reference));
  if (before.spec.auto_remove()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "container \"", before.name, "\" is removed when it exits: it cannot be restarted"));
  }
  RETURN_IF_ERROR(StopLive(before.id, timeout, actor));
  KeyedLocks::Hold hold = locks_.Lock(before.id);
  ASSIGN_OR_RETURN(ContainerRecord record, Read(before.id));
  // Somebody else may have been quicker.
  if (!IsLive(record.state)) RETURN_IF_ERROR(StartLocked(record, actor));
  RETURN_IF_ERROR(Commit(record, {Event(record, "restart", actor)}));
  return record;
}

absl::Status ContainerEngine::Pause(absl::string_view reference, absl::string_view actor) {
  ASSIGN_OR_RETURN(std::string id, FindId(reference));
  KeyedLocks::Hold hold = locks_.Lock(id);
  ASSIGN_OR_RETURN(ContainerRecord record, Read(id));
  ASSIGN_OR_RETURN(record.state, Annotate(Next(record.state, Verb::kPause),
                                          absl::StrCat("pausing container \"", record.name, "\"")));
  RETURN_IF_ERROR(About(record, "pausing", cgroups_.Freeze(record.cgroup_path)));
  return Commit(record, {Event(record, "pause", actor)});
}

absl::Status ContainerEngine::Unpause(absl::string_view reference, absl::string_view actor) {
  ASSIGN_OR_RETURN(std::string id, FindId(reference));
  KeyedLocks::Hold hold = locks_.Lock(id);
  ASSIGN_OR_RETURN(ContainerRecord record, Read(id));
  ASSIGN_OR_RETURN(record.state,
                   Annotate(Next(record.state, Verb::kUnpause),
                            absl::StrCat("unpausing container \"", record.name, "\"")));
  RETURN_IF_ERROR(About(record, "unpausing", cgroups_.Thaw(record.cgroup_path)));
  return Commit(record, {Event(record, "unpause", actor)});
}

absl::Status ContainerEngine::Delete(absl::string_view reference, bool force, bool delete_volumes,
                                     absl::string_view actor) {
  ASSIGN_OR_RETURN(std::string id, FindId(reference));
  if (force) RETURN_IF_ERROR(StopLive(id, absl::ZeroDuration(), actor));
  KeyedLocks::Hold hold = locks_.Lock(id);
  absl::StatusOr<ContainerRecord> record = Read(id);
  // One that removes itself was quicker.
  if (force && absl::IsNotFound(record.status())) return absl::OkStatus();
  RETURN_IF_ERROR(record.status());
  return RemoveLocked(*record, delete_volumes, actor);
}

absl::StatusOr<CreatedContainer> ContainerEngine::Update(absl::string_view reference,
                                                         const v1::Resources& resources,
                                                         const v1::RestartPolicy* policy,
                                                         absl::string_view actor) {
  ASSIGN_OR_RETURN(std::string id, FindId(reference));
  KeyedLocks::Hold hold = locks_.Lock(id);
  CreatedContainer updated;
  ContainerRecord& record = updated.record;
  ASSIGN_OR_RETURN(record, Read(id));
  ASSIGN_OR_RETURN(record.state, Next(record.state, Verb::kUpdate));
  // Fields that are set go over the old ones.
  record.spec.mutable_resources()->MergeFrom(resources);
  RETURN_IF_ERROR(CheckResources(record.spec.resources()));
  *record.merged.mutable_resources() = record.spec.resources();
  if (policy != nullptr) {
    RETURN_IF_ERROR(CheckRestartPolicy(*policy, record.spec.auto_remove()));
    *record.spec.mutable_restart_policy() = *policy;
    *record.merged.mutable_restart_policy() = *policy;
  }
  if (IsLive(record.state)) {
    if (resources.ByteSizeLong() > 0) {
      ASSIGN_OR_RETURN(updated.warnings,
                       cgroups_.Apply(record.cgroup_path, ToLimits(record.spec.resources())));
    }
    if (policy != nullptr) {
      shim::Request request{.kind = shim::RequestKind::kUpdateRestart,
                            .restart = ShimPolicy(*policy)};
      RETURN_IF_ERROR(About(record, "updating", Ask(id, request).status()));
    }
  }
  RETURN_IF_ERROR(Dir(id).WriteRecord(record));
  RETURN_IF_ERROR(Commit(record, {Event(record, "update", actor)}));
  return updated;
}

}  // namespace darse::runtime
