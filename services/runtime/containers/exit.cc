// What becomes of a container whose process ended, and of one that is deleted.
#include <signal.h>

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "services/runtime/containers/boot_plan.h"
#include "services/runtime/containers/container_engine.h"

namespace darse::runtime {
namespace {

// Nobody saw how it ended.
constexpr int kUnknownExitCode = 255;
constexpr absl::Duration kKillTimeout = absl::Seconds(10);
constexpr size_t kMaxTombstones = 1000;

void LogFailure(absl::string_view what, const std::string& id, const absl::Status& status) {
  if (status.ok()) return;
  Log(LogLevel::kError, what, {{"container", id}, {"why", status.ToString()}});
}

}  // namespace

void ContainerEngine::OnShimMessage(const std::string& id, const shim::Message& message) {
  switch (message.kind) {
    case shim::MessageKind::kExited:
      pool_.Post(id, [this, id] { CollectExits(id); });
      return;
    case shim::MessageKind::kStarted:
      // We died while it was starting, and were faster back.
      pool_.Post(id, [this, id, message] {
        KeyedLocks::Hold hold = locks_.Lock(id);
        absl::StatusOr<ContainerRecord> record = Read(id);
        if (!record.ok() || IsLive(record->state)) return;
        LogFailure("a start was not recorded", id, AdoptRunning(*record, message));
      });
      return;
    case shim::MessageKind::kRestarted:
      pool_.Post(id, [this, id, message] {
        LogFailure("a restart was not recorded", id, ApplyRestart(id, message));
      });
      return;
    case shim::MessageKind::kOom:
      pool_.Post(id, [this, id] {
        KeyedLocks::Hold hold = locks_.Lock(id);
        absl::StatusOr<ContainerRecord> record = Read(id);
        if (!record.ok()) return;
        LogFailure("an OOM kill was not recorded", id,
                   Commit(*record, {Event(*record, "oom", "shim")}));
      });
      return;
    case shim::MessageKind::kExecExited: {
      Stream exec;
      {
        absl::MutexLock lock(&mu_);
        auto found = execs_.find(message.exec_id);
        if (found == execs_.end()) return;
        exec = std::move(found->second);
        execs_.erase(found);
      }
      if (std::shared_ptr<StdioSession> stdio = exec.stdio.lock()) {
        stdio->SetExit(message.exit.exit_code);
      }
      if (exec.announced) {
        pool_.Post(id, [this, id, message] { AnnounceExecEnd(id, message); });
      }
      return;
    }
    default:
      // An attacher that was dropped sees the end of its output.
      return;
  }
}

void ContainerEngine::AnnounceExecEnd(const std::string& id, const shim::Message& message) {
  absl::StatusOr<ContainerRecord> record = Read(id);
  if (!record.ok()) return;
  LogFailure("the end of an exec was not recorded", id, db_.Write([&](sqlite::Transaction& tx) {
    return events_.Append(tx, Event(*record, "exec_die", "shim",
                                    {{"execID", message.exec_id},
                                     {"exitCode", absl::StrCat(message.exit.exit_code)}}));
  }));
}

void ContainerEngine::OnShimClosed(const std::string& id) {
  pool_.Post(id, [this, id] {
    KeyedLocks::Hold hold = locks_.Lock(id);
    absl::StatusOr<ContainerRecord> record = Read(id);
    if (!record.ok()) return;
    LogFailure("exits were not collected", id, CollectExitsLocked(*record));
    if (stopping_) return;
    if (record->intent == Intent::kStart) {
      LogFailure("a container that did not start was not removed", id,
                 RemoveLocked(*record, true, "runtime"));
      return;
    }
    if (!IsLive(record->state)) return;
    if (Dir(id).ShimIsAlive()) {
      // It found us too slow.
      LogFailure("the shim was not reached again", id, Subscribe(id));
      return;
    }
    // Its last record may have come between.
    LogFailure("exits were not collected", id, CollectExitsLocked(*record));
    if (!IsLive(record->state)) return;
    LogFailure("a container without its shim was not ended", id,
               BuryOrphan(*record, "its shim was killed", true));
  });
}

void ContainerEngine::CollectExits(const std::string& id) {
  KeyedLocks::Hold hold = locks_.Lock(id);
  absl::StatusOr<ContainerRecord> record = Read(id);
  if (!record.ok()) return;
  LogFailure("exits were not collected", id, CollectExitsLocked(*record));
}

absl::Status ContainerEngine::CollectExitsLocked(ContainerRecord& record) {
  ASSIGN_OR_RETURN(std::vector<shim::ExitRecord> exits, Dir(record.id).ReadExits());
  for (const shim::ExitRecord& exit : exits) {
    if (exit.sequence > record.exit_sequence) RETURN_IF_ERROR(ApplyExit(record, exit));
  }
  return absl::OkStatus();
}

absl::Status ContainerEngine::ApplyExit(ContainerRecord& record, const shim::ExitRecord& exit) {
  std::vector<NewEvent> events;
  if (!IsLive(record.state)) {
    // The runtime died between the shim's start and its record.
    record.state = ContainerState::kRunning;
    events.push_back(Event(record, "start", "shim"));
  }
  ASSIGN_OR_RETURN(record.state, Next(record.state, exit.final ? Verb::kDied : Verb::kBackedOff));
  record.intent = Intent::kNone;
  record.exit_sequence = exit.sequence;
  record.finished_at = absl::FromUnixNanos(exit.time_ns);
  if (exit.started_ns != 0) record.started_at = absl::FromUnixNanos(exit.started_ns);
  // A stop that ended a back-off has no exit of its own.
  if (exit.pid != 0 || !exit.error.empty()) {
    record.exit_code = exit.exit_code;
    record.oom_killed = exit.oom_killed;
  }
  record.error = exit.error;
  record.restart_count = exit.restart_count;
  record.pid = 0;
  std::map<std::string, std::string> attributes = {{"exitCode", absl::StrCat(record.exit_code)}};
  if (exit.signal != 0) attributes["signal"] = absl::StrCat(exit.signal);
  if (exit.oom_killed) attributes["oomKilled"] = "true";
  if (exit.pid != 0) events.push_back(Event(record, "die", "shim", attributes));
  if (exit.final && exit.stopped) events.push_back(Event(record, "stop", "shim"));
  if (!exit.final) return Commit(record, events);
  return EndLocked(record, std::move(events));
}

absl::Status ContainerEngine::EndLocked(ContainerRecord& record, std::vector<NewEvent> events) {
  health_.Forget(record.id);
  if (record.spec.auto_remove()) {
    ContainerRecord ended = record;
    absl::Status removed = RemoveLocked(record, true, "runtime", events);
    if (removed.ok()) return absl::OkStatus();
    LogFailure("the container was not removed", record.id, removed);
    // Recovery does it, if it finds it ended.
    record = std::move(ended);
  }
  // Before anybody is told: who starts another container on the same port next must find it free.
  LogFailure("the network was not detached", record.id, neighbours_.networks.Detach(record.id));
  RETURN_IF_ERROR(Commit(record, events));
  shims_.Disconnect(record.id);
  EndStreams(record.id, record.exit_code);
  return absl::OkStatus();
}

absl::Status ContainerEngine::ApplyRestart(const std::string& id, const shim::Message& message) {
  KeyedLocks::Hold hold = locks_.Lock(id);
  absl::StatusOr<ContainerRecord> found = Read(id);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  RETURN_IF_ERROR(found.status());
  ContainerRecord& record = *found;
  RETURN_IF_ERROR(CollectExitsLocked(record));
  // Late: it has ended since, or this was told by the shim's state already.
  absl::Time started_at = absl::FromUnixNanos(message.started_ns);
  if (!IsLive(record.state) || record.finished_at > started_at ||
      (record.pid == message.pid && record.started_at == started_at)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(record.state, Next(record.state, Verb::kRespawned));
  record.pid = message.pid;
  record.started_at = started_at;
  record.restart_count = message.restart_count;
  record.error.clear();
  record.health = {};
  if (record.merged.has_healthcheck()) record.health.status = HealthStatus::kStarting;
  RETURN_IF_ERROR(Commit(record, {Event(record, "start", "shim")}));
  WatchHealth(record);
  return absl::OkStatus();
}

absl::Status ContainerEngine::BuryOrphan(ContainerRecord& record, absl::string_view why,
                                         bool may_restart) {
  if (!record.cgroup_path.empty() && cgroups_.Exists(record.cgroup_path)) {
    cgroups_.KillAll(record.cgroup_path).IgnoreError();
    cgroups_.Thaw(record.cgroup_path).IgnoreError();
    absl::Time deadline = clock_.Now() + kKillTimeout;
    // Killed processes leave the cgroup a moment later.
    while (!cgroups_.Delete(record.cgroup_path).ok() && clock_.Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  bool was_alive = IsLive(record.state);
  record.state = ContainerState::kExited;
  record.exit_code = kUnknownExitCode;
  record.oom_killed = false;
  record.finished_at = clock_.Now();
  record.pid = 0;
  record.error = std::string(why);
  RETURN_IF_ERROR(EndLocked(
      record, {Event(record, "die", "runtime",
                     {{"exitCode", absl::StrCat(kUnknownExitCode)}, {"why", std::string(why)}})}));
  if (may_restart && !record.spec.auto_remove() && WantsRestart(record, was_alive)) {
    std::string id = record.id;
    pool_.Post(id, [this, id] { StartAgain(id, 1); });
  }
  return absl::OkStatus();
}

void ContainerEngine::Bury(const ContainerRecord& record) {
  absl::MutexLock lock(&mu_);
  bool is_new =
      tombstones_.insert_or_assign(record.id, Tombstone{record.exit_code, record.oom_killed})
          .second;
  if (is_new) tombstone_order_.push_back(record.id);
  if (tombstone_order_.size() > kMaxTombstones) {
    tombstones_.erase(tombstone_order_.front());
    tombstone_order_.erase(tombstone_order_.begin());
  }
}

absl::Status ContainerEngine::RemoveLocked(ContainerRecord& record, bool delete_volumes,
                                           absl::string_view actor,
                                           const std::vector<NewEvent>& before) {
  bool never_made = record.intent == Intent::kCreate;
  if (!never_made) {
    // Recovery removes one that removes itself once it has ended.
    bool is_to_go = record.spec.auto_remove() && record.state == ContainerState::kExited;
    ASSIGN_OR_RETURN(record.state, Annotate(Next(record.state, Verb::kRemove),
                                            absl::StrCat("container \"", record.name, "\"")));
    // Before anything of it is gone.
    if (!is_to_go) RETURN_IF_ERROR(Commit(record, {}, DurabilityOf(record)));
  }
  health_.Forget(record.id);
  shims_.Disconnect(record.id);
  if (std::optional<ParkedShim> parked = TakeParked(record.id)) {
    shim_pool_->LetGo(*std::move(parked));
  }
  for (const PendingStream& pending : TakePending(record.id)) {
    if (std::shared_ptr<StdioSession> stdio = pending.stdio.lock()) {
      stdio->SetError(absl::NotFoundError("the container was deleted"));
    }
  }
  // Before the row goes: who waits for that finds one or the other.
  Bury(record);
  std::function<absl::Status()> remove_volumes, withdraw;
  RETURN_IF_ERROR(db_.Write(
      [&](sqlite::Transaction& tx) -> absl::Status {
        RETURN_IF_ERROR(neighbours_.snapshots.Forget(tx, record.id));
        ASSIGN_OR_RETURN(remove_volumes,
                         neighbours_.volumes.RemoveUses(tx, record.id, delete_volumes, actor));
        ASSIGN_OR_RETURN(withdraw, neighbours_.networks.Forget(tx, record.id));
        RETURN_IF_ERROR(ContainerStore::Delete(tx, record.id));
        // A request that made nothing may be repeated.
        if (record.intent != Intent::kNone) {
          RETURN_IF_ERROR(ContainerStore::DeleteRequests(tx, record.id));
        }
        if (never_made) return absl::OkStatus();
        for (const NewEvent& event : before) RETURN_IF_ERROR(events_.Append(tx, event));
        return events_.Append(tx, Event(record, "destroy", actor));
      },
      DurabilityOf(record)));
  // From here on it is gone, and what fails is left to recovery.
  LogFailure("a deleted container's ports are left", record.id, withdraw());
  LogFailure("a deleted container's volumes are left", record.id, remove_volumes());
  LogEvents(record, before);
  EndStreams(record.id, record.exit_code);
  changes_.Notify(record.id);
  // Nobody waits for these, and recovery finds what is left.
  LogFailure("a deleted container's record is left", record.id, Dir(record.id).RemoveRecord());
  LogFailure("a deleted container's network is left", record.id,
             neighbours_.networks.DropRest(record.id));
  LogFailure("a deleted container's files are left", record.id,
             neighbours_.snapshots.RemoveFiles(record.id));
  if (!record.cgroup_path.empty()) cgroups_.Delete(record.cgroup_path).IgnoreError();
  LogFailure("a deleted container's directory is left", record.id, Dir(record.id).Remove());
  return absl::OkStatus();
}

}  // namespace darse::runtime
