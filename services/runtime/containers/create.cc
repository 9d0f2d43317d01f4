// From a spec to a container that can be started.
#include <sys/stat.h>

#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/base/undo_stack.h"
#include "libs/os/files.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/containers/image_merge.h"
#include "services/runtime/containers/root_view.h"
#include "services/runtime/containers/spec_check.h"

namespace darse::runtime {
namespace {

// Two words that are easy to say; the id decides, so that nobody has to keep a list of those in
// use.
std::string MakeUpName(const std::string& id) {
  static constexpr absl::string_view kHow[] = {
      "able",  "bold",  "brave", "brisk", "calm",  "clear", "deft",  "eager",
      "fair",  "fond",  "frank", "glad",  "grand", "happy", "keen",  "kind",
      "light", "loyal", "merry", "neat",  "noble", "plain", "proud", "quick",
      "quiet", "ready", "sharp", "sound", "still", "swift", "warm",  "wise"};
  static constexpr absl::string_view kWhat[] = {
      "anchor",  "barge", "beacon", "bollard", "buoy",   "cable",  "cargo", "cleat",
      "crane",   "crew",  "dock",   "dory",    "ferry",  "galley", "gull",  "harbour",
      "hatch",   "helm",  "hull",   "jetty",   "keel",   "ketch",  "locks", "mast",
      "mooring", "pilot", "quay",   "rigger",  "rudder", "sail",   "sloop", "tug"};
  auto digit = [&](int at) {
    return static_cast<size_t>(std::stoi(id.substr(at, 2), nullptr, 16));
  };
  return absl::StrCat(kHow[digit(0) % 32], "-", kWhat[digit(2) % 32], "-", id.substr(4, 4));
}

}  // namespace

std::string ContainerEngine::NewId(const v1::ContainerSpec& spec, bool start_follows) {
  // The parked shim's helper is in the cgroup when the limits come and until the process is made:
  // it must fit in.
  constexpr int64_t kFewProcesses = 4, kLittleMemory = 8 << 20;
  const v1::Resources& resources = spec.resources();
  bool fits =
      (resources.pids_limit() <= 0 || resources.pids_limit() >= kFewProcesses) &&
      (resources.memory_limit_bytes() <= 0 || resources.memory_limit_bytes() >= kLittleMemory);
  if (start_follows && fits && shim_pool_ != nullptr) {
    if (std::optional<ParkedShim> parked = shim_pool_->Take()) {
      std::string id = parked->id;
      absl::MutexLock lock(&mu_);
      parked_.emplace(id, *std::move(parked));
      return id;
    }
  }
  return new_id_();
}

std::optional<ParkedShim> ContainerEngine::TakeParked(const std::string& id) {
  absl::MutexLock lock(&mu_);
  auto found = parked_.find(id);
  if (found == parked_.end()) return std::nullopt;
  std::optional<ParkedShim> parked = std::move(found->second);
  parked_.erase(found);
  return parked;
}

absl::StatusOr<ParkedShim> ContainerEngine::ParkShim() {
  std::string id = new_id_();
  ContainerDir dir = Dir(id);
  UndoStack undo;
  // Recovery removes it if there never is a container.
  undo.Push([&] {
    neighbours_.snapshots.RemoveFiles(id).IgnoreError();
    dir.Remove().IgnoreError();
  });
  RETURN_IF_ERROR(dir.Make());
  RETURN_IF_ERROR(dir.MakeFiles());
  RETURN_IF_ERROR(neighbours_.snapshots.Anticipate(id));
  ASSIGN_OR_RETURN(
      ParkedShim parked,
      shims_.Park({.id = id, .state_dir = dir.state(), .run_dir = dir.run()}, CgroupPath(id)));
  undo.Commit();
  if (!user_namespaces_.obstacle().empty()) return parked;
  absl::Status prepared = neighbours_.networks.Prepare(id);
  if (!prepared.ok()) {
    Log(LogLevel::kWarning, "no namespaces were made in advance", {{"why", prepared.ToString()}});
  }
  return parked;
}

absl::StatusOr<ContainerRecord> ContainerEngine::NewRecord(v1::ContainerSpec spec, std::string id,
                                                           std::string& chain_id) {
  ContainerRecord record;
  oci::ImageConfig image;
  if (!spec.snapshot_id().empty()) {
    RETURN_IF_ERROR(neighbours_.snapshots.Get(spec.snapshot_id()).status());
  } else {
    ASSIGN_OR_RETURN(ResolvedImage resolved, neighbours_.images.Resolve(spec.image()));
    record.image_id = resolved.id;
    chain_id = resolved.chain_id;
    image = std::move(resolved.config);
  }
  ASSIGN_OR_RETURN(record.merged, MergeImage(spec, image));
  record.id = std::move(id);
  if (spec.name().empty()) spec.set_name(MakeUpName(record.id));
  record.merged.set_name(spec.name());
  record.name = spec.name();
  if (record.merged.hostname().empty()) record.merged.set_hostname(record.id.substr(0, 12));
  record.spec = std::move(spec);
  record.created_at = clock_.Now();
  record.intent = Intent::kCreate;
  return record;
}

absl::StatusOr<AttachRequest> ContainerEngine::NetworkRequest(const ContainerRecord& record) {
  const v1::ContainerSpec& spec = record.merged;
  AttachRequest request;
  request.container_id = record.id;
  request.container_name = record.name;
  switch (spec.network_mode()) {
    case v1::NETWORK_MODE_NONE:
      request.mode = NetworkMode::kNone;
      break;
    case v1::NETWORK_MODE_HOST:
      request.mode = NetworkMode::kHost;
      break;
    case v1::NETWORK_MODE_CONTAINER: {
      request.mode = NetworkMode::kContainer;
      ASSIGN_OR_RETURN(ContainerRecord other, Get(spec.network_container()));
      if (other.id == record.id) {
        return absl::InvalidArgumentError("network_container: is the container itself");
      }
      if (!IsLive(other.state)) {
        return absl::FailedPreconditionError(absl::StrCat(
            "container \"", other.name, "\", whose network is to be used, is not running"));
      }
      request.network_container_id = other.id;
      break;
    }
    default:
      request.mode = NetworkMode::kBridge;
  }
  for (const v1::NetworkAttachment& attachment : spec.networks()) {
    request.networks.push_back(
        {.network = attachment.network(),
         .aliases = {attachment.aliases().begin(), attachment.aliases().end()},
         .ipv4_address = attachment.ipv4_address()});
  }
  for (const v1::PortMapping& port : spec.ports()) {
    request.ports.push_back({.host_ip = port.host_ip(),
                             .host_port = static_cast<uint16_t>(port.host_port()),
                             .container_port = static_cast<uint16_t>(port.container_port()),
                             .protocol = port.protocol()});
  }
  request.dns.assign(spec.dns().begin(), spec.dns().end());
  request.dns_search.assign(spec.dns_search().begin(), spec.dns_search().end());
  return request;
}

absl::Status ContainerEngine::EnsureSource(const v1::Mount& bind) {
  if (Exists(bind.source())) return absl::OkStatus();
  if (bind.create_source()) return MakeDirectories(bind.source());
  return absl::NotFoundError(absl::StrCat("bind of \"", bind.source(), "\" at ", bind.target(),
                                          ": no such file or directory"));
}

absl::Status ContainerEngine::MakeVolumes(ContainerRecord& record, int root,
                                          absl::string_view actor) {
  for (v1::Mount& mount : *record.merged.mutable_mounts()) {
    if (mount.type() == v1::MOUNT_TYPE_BIND) RETURN_IF_ERROR(EnsureSource(mount));
    if (mount.type() != v1::MOUNT_TYPE_VOLUME) continue;
    ASSIGN_OR_RETURN(Volume volume,
                     neighbours_.volumes.Ensure(mount.source(), mount.source().empty(), {}, actor));
    mount.set_source(volume.name);
    RETURN_IF_ERROR(neighbours_.volumes.AddUse(volume.name, record.id));
    if (!mount.no_copy()) {
      RETURN_IF_ERROR(FillFromRoot(root, mount.target(), volume.mountpoint));
    }
  }
  return absl::OkStatus();
}

absl::Status ContainerEngine::Enter(const ContainerRecord& record, const std::string& chain_id,
                                    absl::string_view request_id, SnapshotDirs& dirs) {
  std::optional<AttachRequest> network;
  if (record.merged.network_mode() == v1::NETWORK_MODE_BRIDGE) {
    ASSIGN_OR_RETURN(network, NetworkRequest(record));
  }
  // Relaxed: nobody has been answered yet, and what no row names is removed by recovery.
  return db_.Write(
      [&](sqlite::Transaction& tx) -> absl::Status {
        RETURN_IF_ERROR(ContainerStore::Insert(tx, record));
        if (!request_id.empty()) {
          RETURN_IF_ERROR(ContainerStore::AddRequest(tx, request_id, record.id, clock_.Now()));
        }
        if (record.spec.snapshot_id().empty()) {
          ASSIGN_OR_RETURN(dirs, neighbours_.snapshots.Prepare(tx, record.id, chain_id));
        }
        return network ? neighbours_.networks.Reserve(tx, *network) : absl::OkStatus();
      },
      sqlite::Durability::kRelaxed);
}

absl::StatusOr<RootPlan> ContainerEngine::Furnish(ContainerRecord& record, SnapshotDirs dirs,
                                                  absl::string_view actor) {
  RootPlan plan;
  if (record.spec.snapshot_id().empty()) {
    RETURN_IF_ERROR(neighbours_.snapshots.MakeFiles(record.id, dirs));
    plan.dirs = std::move(dirs);
  } else {
    ASSIGN_OR_RETURN(plan.dirs, neighbours_.snapshots.Get(record.spec.snapshot_id()));
  }
  {
    ASSIGN_OR_RETURN(UniqueFd root, OpenRootView(plan.dirs));
    // The kernel takes half a millisecond or more to let go of a mount: not in anybody's way.
    absl::Cleanup close = [&] {
      pool_.Post(absl::StrCat("view of ", record.id),
                 [root = std::move(root)]() mutable { root.Reset(); });
    };
    // So that a user who does not exist is known now and not at the start.
    ASSIGN_OR_RETURN(plan.user, LookUpUserIn(root.get(), record.merged.user(),
                                             {record.merged.additional_groups().begin(),
                                              record.merged.additional_groups().end()}));
    RETURN_IF_ERROR(MakeVolumes(record, root.get(), actor));
  }
  // As with the user: what cannot be is said now.
  if (record.merged.userns_mode() == "private") RETURN_IF_ERROR(PlanStart(record, plan).status());
  RETURN_IF_ERROR(Dir(record.id).Make());
  RETURN_IF_ERROR(Dir(record.id).WriteRecord(record));
  return plan;
}

absl::StatusOr<CreatedContainer> ContainerEngine::Create(v1::ContainerSpec spec,
                                                         absl::string_view request_id,
                                                         absl::string_view actor,
                                                         bool start_follows) {
  CreatedContainer created;
  RETURN_IF_ERROR(CheckSpec(spec, created.warnings));
  if (spec.init() && options_.init_program.empty()) {
    return absl::UnimplementedError("init: darse-init is not installed beside the runtime");
  }
  int64_t cores = std::thread::hardware_concurrency();
  if (spec.resources().nano_cpus() > cores * 1'000'000'000) {
    return absl::InvalidArgumentError(
        absl::StrCat("resources: nano_cpus is above what this node has (", cores, " cores)"));
  }
  auto made_before = [&]() -> absl::StatusOr<std::string> {
    std::string id;
    if (request_id.empty()) return id;
    RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(id, ContainerStore::FindRequest(tx, request_id, clock_.Now()));
      return absl::OkStatus();
    }));
    return id;
  };
  auto answer_again = [&](const std::string& id) -> absl::StatusOr<CreatedContainer> {
    // Whoever makes it just now is waited for.
    KeyedLocks::Hold hold = locks_.Lock(id);
    absl::StatusOr<ContainerRecord> record = Read(id);
    if (absl::IsNotFound(record.status())) {
      return absl::AbortedError("the container that this request made was deleted since");
    }
    RETURN_IF_ERROR(record.status());
    created.record = *std::move(record);
    return created;
  };
  ASSIGN_OR_RETURN(std::string known, made_before());
  if (!known.empty()) return answer_again(known);

  std::string chain_id;
  std::string id = NewId(spec, start_follows);
  absl::Cleanup let_go = [&] {
    if (std::optional<ParkedShim> parked = TakeParked(id)) shim_pool_->LetGo(*std::move(parked));
  };
  ASSIGN_OR_RETURN(created.record, NewRecord(std::move(spec), id, chain_id));
  ContainerRecord& record = created.record;
  KeyedLocks::Hold hold = locks_.Lock(record.id);
  SnapshotDirs dirs;
  absl::Status entered = Enter(record, chain_id, request_id, dirs);
  if (absl::IsAlreadyExists(entered)) {
    // The same request may have come twice at once.
    ASSIGN_OR_RETURN(known, made_before());
    if (!known.empty()) return answer_again(known);
  }
  RETURN_IF_ERROR(entered);
  absl::StatusOr<RootPlan> root = Furnish(record, std::move(dirs), actor);
  absl::Status furnished = root.status();
  if (furnished.ok()) {
    created.root = *std::move(root);
    record.intent = start_follows ? Intent::kStart : Intent::kNone;
    furnished = Commit(record, {Event(record, "create", actor)},
                       start_follows ? sqlite::Durability::kRelaxed : sqlite::Durability::kDurable);
  }
  if (!furnished.ok()) {
    record.intent = Intent::kCreate;
    absl::Status removed = RemoveLocked(record, true, actor);
    if (!removed.ok()) {
      Log(LogLevel::kWarning, "a container that could not be made was not removed",
          {{"id", record.id}, {"why", removed.ToString()}});
    }
    return furnished;
  }
  std::move(let_go).Cancel();
  return created;
}

absl::StatusOr<CreatedContainer> ContainerEngine::Run(v1::ContainerSpec spec,
                                                      absl::string_view request_id,
                                                      absl::string_view actor,
                                                      const BeforeStart& before_start) {
  ASSIGN_OR_RETURN(CreatedContainer created, Create(std::move(spec), request_id, actor, true));
  // A repeated request finds it started already.
  if (created.record.started_at != absl::InfinitePast()) return created;
  absl::Status started;
  if (before_start != nullptr) started = before_start(created.record);
  KeyedLocks::Hold hold = locks_.Lock(created.record.id);
  ASSIGN_OR_RETURN(created.record, Read(created.record.id));
  if (created.record.state != ContainerState::kCreated) {
    // Somebody else has started it since: it is theirs as well.
    RETURN_IF_ERROR(started);
    return created;
  }
  if (started.ok()) started = StartLocked(created.record, actor, std::move(created.root));
  if (!started.ok()) {
    RemoveLocked(created.record, true, actor).IgnoreError();
    return started;
  }
  return created;
}

}  // namespace darse::runtime
