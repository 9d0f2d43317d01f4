// What the runtime does with containers when it starts: the kernel and the shims know more than the
// database.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "services/runtime/containers/boot_plan.h"
#include "services/runtime/containers/container_engine.h"

namespace darse::runtime {
namespace {

constexpr int kMaxStartAttempts = 6;
constexpr absl::Duration kBetweenStartAttempts = absl::Seconds(5);

}  // namespace

absl::Status ContainerEngine::Recover(bool rebooted) {
  if (db_.was_damaged()) RETURN_IF_ERROR(RebuildRecords());
  ASSIGN_OR_RETURN(std::vector<ContainerRecord> records, ListAll());
  std::set<std::string> live;
  std::vector<std::string> ids;
  for (const ContainerRecord& record : records) {
    ids.push_back(record.id);
    if (!rebooted && Dir(record.id).ShimIsAlive()) live.insert(record.id);
  }
  RETURN_IF_ERROR(Annotate(neighbours_.volumes.Recover(ids), "recovering volumes"));
  RETURN_IF_ERROR(Annotate(neighbours_.networks.Recover(live), "recovering networks"));
  std::vector<std::string> boot;
  if (rebooted) boot = PlanBoot(records);
  for (ContainerRecord& record : records) {
    std::string id = record.id;
    absl::Status recovered = RecoverOne(std::move(record), rebooted);
    // One broken container must not keep the others from being served.
    if (!recovered.ok()) {
      Log(LogLevel::kError, "a container was not recovered",
          {{"container", id}, {"why", recovered.ToString()}});
    }
  }
  RemoveStrayDirs(ids);
  shim_pool_ =
      std::make_unique<ShimPool>(ShimPool::Options{
                                     .size = options_.shim_pool_size,
                                     .park = [this] { return ParkShim(); },
                                     .memory = HostMemory,
                                     .let_go =
                                         [this](const ParkedShim& shim) {
                                           shims_.ReapLater(shim.process.pid());
                                           neighbours_.networks.DropPrepared(shim.id).IgnoreError();
                                           neighbours_.snapshots.RemoveFiles(shim.id).IgnoreError();
                                           Dir(shim.id).Remove().IgnoreError();
                                         },
                                 },
                                 clock_);
  // One after another, in this order.
  for (const std::string& id : boot) {
    pool_.Post("boot", [this, id] { StartAgain(id, 1); });
  }
  return absl::OkStatus();
}

absl::Status ContainerEngine::RebuildRecords() {
  int rebuilt = 0;
  for (const std::string& id : ListContainerDirs(options_.root)) {
    absl::StatusOr<ContainerRecord> record = Dir(id).ReadRecord();
    if (!record.ok() || record->id != id) {
      Log(LogLevel::kError, "a container's directory does not tell what it is",
          {{"container", id}, {"why", record.status().ToString()}});
      continue;
    }
    // All of its past is new to the fresh database; only the newest exit is of interest.
    absl::StatusOr<std::vector<shim::ExitRecord>> exits = Dir(id).ReadExits();
    if (exits.ok() && !exits->empty()) {
      const shim::ExitRecord& last = exits->back();
      record->state = ContainerState::kExited;
      record->exit_sequence = last.sequence;
      record->exit_code = last.exit_code;
      record->oom_killed = last.oom_killed;
      record->started_at = absl::FromUnixNanos(last.started_ns);
      record->finished_at = absl::FromUnixNanos(last.time_ns);
      record->stop_requested = last.stopped;
    }
    record->cgroup_path = CgroupPath(id);
    RETURN_IF_ERROR(
        db_.Write([&](sqlite::Transaction& tx) { return ContainerStore::Insert(tx, *record); }));
    for (const v1::Mount& mount : record->merged.mounts()) {
      if (mount.type() != v1::MOUNT_TYPE_VOLUME) continue;
      absl::Status used = neighbours_.volumes.Ensure(mount.source(), false, {}, "runtime").status();
      if (used.ok()) used = neighbours_.volumes.AddUse(mount.source(), id);
      if (!used.ok()) {
        Log(LogLevel::kError, "a volume of a container was not found again",
            {{"container", id}, {"volume", mount.source()}, {"why", used.ToString()}});
      }
    }
    ++rebuilt;
  }
  Log(LogLevel::kWarning, "the database was damaged: containers come from their directories",
      {{"containers", absl::StrCat(rebuilt)}});
  return absl::OkStatus();
}

// Of containers that were deleted, or never made.
void ContainerEngine::RemoveStrayDirs(const std::vector<std::string>& known) {
  for (const std::string& id : ListContainerDirs(options_.root)) {
    if (std::find(known.begin(), known.end(), id) != known.end() || Dir(id).ShimIsAlive()) continue;
    // With a record it is one that a damaged database has forgotten and that was not understood.
    if (Dir(id).HasRecord() && db_.was_damaged()) continue;
    cgroups_.Delete(CgroupPath(id)).IgnoreError();
    Dir(id).Remove().IgnoreError();
  }
}

absl::Status ContainerEngine::AdoptRunning(ContainerRecord& record, const shim::Message& state) {
  bool was_live = IsLive(record.state);
  bool same_run =
      was_live && record.pid == state.pid && record.state != ContainerState::kRestarting;
  std::vector<NewEvent> events;
  if (state.state == shim::State::kRunning) {
    ContainerState now = cgroups_.IsFrozen(record.cgroup_path).value_or(false)
                             ? ContainerState::kPaused
                             : ContainerState::kRunning;
    if (same_run && record.state == now) {
      WatchHealth(record);
      return absl::OkStatus();
    }
    record.state = now;
    if (!same_run) {
      events.push_back(Event(record, "start", "shim"));
      record.health = {};
      if (record.merged.has_healthcheck()) record.health.status = HealthStatus::kStarting;
    }
    record.intent = Intent::kNone;
    record.pid = state.pid;
    record.started_at = absl::FromUnixNanos(state.started_ns);
    record.restart_count = state.restart_count;
    record.error.clear();
  } else if (state.state == shim::State::kRestarting) {
    record.state = ContainerState::kRestarting;
    record.pid = 0;
  } else {
    // Between its start and its first report, or between its last one and its end: a message will
    // follow.
    return absl::OkStatus();
  }
  absl::StatusOr<AttachedNetwork> network = neighbours_.networks.Find(record.id);
  if (network.ok()) {
    record.endpoints = network->endpoints;
    record.ports = network->ports;
    record.first_user_id = network->first_id;
  }
  RETURN_IF_ERROR(Commit(record, events));
  WatchHealth(record);
  return absl::OkStatus();
}

absl::Status ContainerEngine::RecoverOne(ContainerRecord record, bool rebooted) {
  KeyedLocks::Hold hold = locks_.Lock(record.id);
  if (record.intent == Intent::kCreate) return RemoveLocked(record, true, "runtime");
  if (record.state == ContainerState::kRemoving) {
    return RemoveLocked(record, record.spec.auto_remove(), "runtime");
  }
  if (!rebooted && Dir(record.id).ShimIsAlive()) {
    absl::StatusOr<shim::Message> state = shims_.Connect(record.id, Dir(record.id).run());
    RETURN_IF_ERROR(CollectExitsLocked(record));
    if (state.ok()) return AdoptRunning(record, *state);
    // It was just ending; its connection's end would have told.
    std::string id = record.id;
    if (Dir(id).ShimIsAlive()) return Annotate(state.status(), "connecting to the shim");
  }
  RETURN_IF_ERROR(CollectExitsLocked(record));
  if (record.intent == Intent::kStart) return RemoveLocked(record, true, "runtime");
  if (IsLive(record.state)) {
    return BuryOrphan(record, rebooted ? "the machine went down" : "its shim was killed",
                      !rebooted);
  }
  if (record.spec.auto_remove() && record.state == ContainerState::kExited) {
    return RemoveLocked(record, true, "runtime");
  }
  return absl::OkStatus();
}

void ContainerEngine::StartAgain(const std::string& id, int attempt) {
  if (stopping_) return;
  KeyedLocks::Hold hold = locks_.Lock(id);
  absl::StatusOr<ContainerRecord> record = Read(id);
  if (!record.ok() || IsLive(record->state)) return;
  absl::Status started = StartLocked(*record, "runtime");
  if (started.ok()) return;
  Log(LogLevel::kError, "a container was not started again",
      {{"container", id}, {"attempt", absl::StrCat(attempt)}, {"why", started.ToString()}});
  if (attempt >= kMaxStartAttempts) return;
  // What it needs (another container's network, a disk) may come yet.
  loop_.After(kBetweenStartAttempts, [this, id, attempt] {
    pool_.Post("boot", [this, id, attempt] { StartAgain(id, attempt + 1); });
  });
}

}  // namespace darse::runtime
