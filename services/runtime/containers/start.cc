// From a container that is made to one that runs.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/log.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/undo_stack.h"
#include "libs/linux/seccomp/seccomp_profile.h"
#include "libs/os/files.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/containers/etc_files.h"
#include "services/runtime/containers/oci_config.h"
#include "services/runtime/containers/root_view.h"
#include "services/runtime/containers/spec_check.h"
#include "services/runtime/shims/shim_policy.h"
#include "services/shim/shim_config.h"

namespace darse::runtime {
namespace {

absl::StatusOr<HostDevice> StatDevice(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("devices: \"", path, "\": ", strerror(errno)));
  }
  if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("devices: \"", path, "\" is no device"));
  }
  return HostDevice{.path = path,
                    .type = S_ISCHR(status.st_mode) ? 'c' : 'b',
                    .major = major(status.st_rdev),
                    .minor = minor(status.st_rdev),
                    .mode = status.st_mode & 07777,
                    .uid = status.st_uid,
                    .gid = status.st_gid};
}

// All of the host's, for a privileged container; what every container has of its own is left out.
void AddHostDevices(const std::string& directory, std::vector<HostDevice>& devices) {
  static constexpr absl::string_view kOwn[] = {"pts",  "shm",  "fd",   "mqueue", "console", "ptmx",
                                               "null", "zero", "full", "random", "urandom", "tty"};
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(directory);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (directory == "/dev" &&
        std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn)) {
      continue;
    }
    std::string path = JoinPath(directory, name);
    struct stat status;
    if (lstat(path.c_str(), &status) != 0) continue;
    if (S_ISDIR(status.st_mode)) {
      AddHostDevices(path, devices);
    } else if (absl::StatusOr<HostDevice> device = StatDevice(path);
               !S_ISLNK(status.st_mode) && device.ok()) {
      devices.push_back(*device);
    }
  }
}

absl::StatusOr<std::vector<HostDevice>> Devices(const v1::ContainerSpec& spec) {
  std::vector<HostDevice> devices;
  for (const v1::Device& wanted : spec.devices()) {
    ASSIGN_OR_RETURN(HostDevice device, StatDevice(wanted.host_path()));
    device.path = wanted.container_path();
    device.permissions = wanted.permissions();
    devices.push_back(std::move(device));
  }
  if (spec.privileged()) AddHostDevices("/dev", devices);
  return devices;
}

uint64_t CapabilityBits(const std::vector<std::string>& names) {
  const std::vector<std::string>& all = AllCapabilities();
  uint64_t bits = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::find(names.begin(), names.end(), all[i]) != names.end()) bits |= uint64_t{1} << i;
  }
  return bits;
}

// Most containers have the same capabilities.
std::string DefaultSeccompJson(uint64_t capabilities) {
  static absl::Mutex mu(absl::kConstInit);
  static uint64_t last_capabilities = 0;
  static std::string& last = *new std::string;
  absl::MutexLock lock(&mu);
  if (last.empty() || last_capabilities != capabilities) {
    last = seccomp::ToOciJson(seccomp::DefaultProfile(capabilities));
    last_capabilities = capabilities;
  }
  return last;
}

absl::StatusOr<std::string> SeccompJson(const v1::ContainerSpec& spec) {
  if (spec.privileged() || spec.seccomp_profile() == "unconfined") return std::string();
  uint64_t capabilities = CapabilityBits(Capabilities(spec));
  if (spec.seccomp_profile().empty()) return DefaultSeccompJson(capabilities);
  ASSIGN_OR_RETURN(seccomp::Profile profile,
                   Annotate(seccomp::ParseDockerProfile(spec.seccomp_profile(), capabilities),
                            "seccomp_profile"));
  return seccomp::ToOciJson(profile);
}

absl::Status WriteEtcFiles(const ContainerDir& dir, const ContainerRecord& record,
                           const AttachedNetwork& network) {
  HostsInput hosts{.hostname = record.merged.hostname(), .name = record.name};
  for (const Endpoint& endpoint : network.endpoints) {
    hosts.addresses.push_back(endpoint.ipv4_address);
    if (hosts.gateway.empty()) hosts.gateway = endpoint.gateway;
  }
  if (record.merged.network_mode() == v1::NETWORK_MODE_HOST) hosts.gateway = "127.0.0.1";
  hosts.extra_hosts.assign(record.merged.extra_hosts().begin(), record.merged.extra_hosts().end());
  const std::pair<const char*, std::string> files[] = {
      {ContainerDir::kHosts, HostsFile(hosts)},
      {ContainerDir::kHostname, record.merged.hostname() + "\n"},
      {ContainerDir::kResolvConf, network.resolv_conf}};
  for (const auto& [name, content] : files) {
    std::string path = JoinPath(dir.etc(), name);
    RETURN_IF_ERROR(WriteFileInPlace(path, content));
    // They are the container's root's, who may write them.
    if (chown(path.c_str(), network.first_id, network.first_id) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("chown ", path));
    }
  }
  return absl::OkStatus();
}

absl::Status NoUserNamespace(absl::string_view obstacle) {
  return absl::FailedPreconditionError(absl::StrCat(
      "userns_mode: the container cannot have a user namespace of its own: ", obstacle));
}

}  // namespace

absl::StatusOr<ContainerEngine::StartPlan> ContainerEngine::PlanStart(
    const ContainerRecord& record, std::optional<RootPlan> root) {
  const v1::ContainerSpec& spec = record.merged;
  StartPlan plan;
  if (root) {
    plan.root = *std::move(root);
  } else {
    ASSIGN_OR_RETURN(plan.root.dirs, neighbours_.snapshots.Get(record.snapshot_id()));
    ASSIGN_OR_RETURN(UniqueFd view, OpenRootView(plan.root.dirs));
    ASSIGN_OR_RETURN(plan.root.user, LookUpUserIn(view.get(), spec.user(),
                                                  {spec.additional_groups().begin(),
                                                   spec.additional_groups().end()}));
  }
  std::vector<std::string> sources;
  for (const v1::Mount& mount : spec.mounts()) {
    if (mount.type() == v1::MOUNT_TYPE_VOLUME) {
      ASSIGN_OR_RETURN(Volume volume, neighbours_.volumes.Get(mount.source()));
      plan.volume_paths[volume.name] = volume.mountpoint;
      sources.push_back(volume.mountpoint);
    } else if (mount.type() == v1::MOUNT_TYPE_BIND) {
      RETURN_IF_ERROR(EnsureSource(mount));
      sources.push_back(mount.source());
    }
  }
  plan.obstacle = SpecObstacle(spec, plan.root.user);
  if (plan.obstacle.empty()) plan.obstacle = user_namespaces_.obstacle();
  for (const std::string& source : sources) {
    if (plan.obstacle.empty()) plan.obstacle = user_namespaces_.BindObstacle(source);
  }
  if (spec.userns_mode() == "private" && !plan.obstacle.empty()) {
    return NoUserNamespace(plan.obstacle);
  }
  return plan;
}

absl::StatusOr<AttachedNetwork> ContainerEngine::AttachNetwork(const ContainerRecord& record,
                                                               StartPlan& plan) {
  ASSIGN_OR_RETURN(AttachRequest request, NetworkRequest(record));
  request.user_namespace = plan.obstacle.empty();
  ASSIGN_OR_RETURN(AttachedNetwork network,
                   neighbours_.networks.Attach(request, &plan.complete_network));
  if (!request.user_namespace || !network.userns_path.empty()) return network;
  plan.obstacle = "the container whose network it uses is there";
  if (record.merged.userns_mode() == "private") return NoUserNamespace(plan.obstacle);
  return network;
}

absl::Status ContainerEngine::WriteConfig(const ContainerRecord& record, const StartPlan& plan,
                                          const AttachedNetwork& network) {
  const v1::ContainerSpec& spec = record.merged;
  ContainerDir dir = Dir(record.id);
  OciInput input;
  input.id = record.id;
  input.spec = spec;
  input.user = plan.root.user;
  input.hostname = spec.hostname();
  input.rootfs_path = dir.rootfs();
  input.cgroup_path = absl::StrCat("/", record.cgroup_path);
  input.netns_path = network.netns_path;
  input.userns_path = network.userns_path;
  input.first_id = network.first_id;
  input.volume_paths = plan.volume_paths;
  input.etc_dir = dir.etc();
  if (spec.init()) input.init_path = options_.init_program;
  ASSIGN_OR_RETURN(input.devices, Devices(spec));
  ASSIGN_OR_RETURN(input.seccomp_json, SeccompJson(spec));

  shim::ShimConfig shim;
  shim.id = record.id;
  const SnapshotDirs& dirs = plan.root.dirs;
  shim.rootfs = {
      .lower_dirs = dirs.lower_dirs, .upper_dir = dirs.upper_dir, .work_dir = dirs.work_dir};
  if (dirs.lower_dirs.empty()) shim.rootfs = {.path = dirs.upper_dir};
  shim.rootfs.id_map = !network.userns_path.empty();
  shim.log.dir = dir.log();
  if (spec.log().max_size_bytes() > 0) shim.log.max_size_bytes = spec.log().max_size_bytes();
  if (spec.log().max_files() > 0) shim.log.max_files = spec.log().max_files();
  shim.restart = ShimPolicy(spec.restart_policy());
  ASSIGN_OR_RETURN(shim.stop_signal, ParseSignal(spec.stop_signal()));
  shim.stdin_open = spec.stdin_open();
  shim.transient = record.is_transient();
  shim.seccomp_cache = JoinPath(options_.run, "seccomp");
  {
    // A program may ask for the size of its terminal at once.
    absl::MutexLock lock(&mu_);
    if (auto waiting = pending_.find(record.id); waiting != pending_.end()) {
      for (const PendingStream& stream : waiting->second) {
        if (stream.columns == 0) continue;
        shim.columns = stream.columns;
        shim.rows = stream.rows;
      }
    }
  }

  RETURN_IF_ERROR(dir.Make());
  RETURN_IF_ERROR(WriteEtcFiles(dir, record, network));
  RETURN_IF_ERROR(WriteFileInPlace(dir.config(), BuildOciConfig(input), 0600));
  return WriteFileInPlace(dir.shim_config(), shim::EncodeShimConfig(shim), 0600);
}

absl::StatusOr<shim::Message> ContainerEngine::Launch(const ContainerRecord& record,
                                                      const StartPlan& plan,
                                                      const AttachedNetwork& network) {
  RETURN_IF_ERROR(WriteConfig(record, plan, network));
  ContainerDir dir = Dir(record.id);
  std::vector<PendingStream> pending = TakePending(record.id);
  ShimLaunch launch{.id = record.id, .state_dir = dir.state(), .run_dir = dir.run()};
  launch.complete = plan.complete_network;
  if (!pending.empty()) {
    launch.attach_stdin = pending[0].shim_ends[0].get();
    launch.attach_stdout = pending[0].shim_ends[1].get();
    launch.attach_stderr = pending[0].shim_ends[2].get();
  }
  absl::StatusOr<shim::Message> started = shims_.Launch(launch, TakeParked(record.id));
  for (size_t i = 0; i < pending.size(); ++i) {
    std::shared_ptr<StdioSession> stdio = pending[i].stdio.lock();
    if (stdio == nullptr) continue;
    if (!started.ok()) {
      stdio->SetError(started.status());
      continue;
    }
    {
      absl::MutexLock lock(&mu_);
      attachments_.push_back({.container_id = record.id, .stdio = stdio});
    }
    // Only the first one's ends go to the shim before the process starts.
    if (i > 0) {
      absl::Status attached = AttachLive(record.id, pending[i]);
      if (!attached.ok()) stdio->SetError(attached);
    }
  }
  return started;
}

absl::Status ContainerEngine::Subscribe(const std::string& id) {
  return shims_.Connect(id, Dir(id).run()).status();
}

absl::Status ContainerEngine::StartLocked(ContainerRecord& record, absl::string_view actor,
                                          std::optional<RootPlan> root) {
  ContainerState before = record.state;
  ASSIGN_OR_RETURN(ContainerState next,
                   Annotate(Next(record.state, Verb::kStart),
                            absl::StrCat("starting container \"", record.name, "\"")));
  record.cgroup_path = CgroupPath(record.id);
  auto fail = [&](absl::Status why) {
    neighbours_.networks.Detach(record.id).IgnoreError();
    record.state = before;
    record.error = std::string(why.message());
    Commit(record, {}).IgnoreError();
    return why;
  };
  absl::StatusOr<StartPlan> plan = PlanStart(record, std::move(root));
  if (!plan.ok()) return fail(plan.status());
  absl::StatusOr<AttachedNetwork> network = AttachNetwork(record, *plan);
  if (!network.ok()) return fail(network.status());
  absl::StatusOr<shim::Message> started = Launch(record, *plan, *network);
  if (!started.ok()) return fail(started.status());

  record.state = next;
  record.intent = Intent::kNone;
  record.error.clear();
  record.pid = started->pid;
  record.started_at = absl::FromUnixNanos(started->started_ns);
  record.restart_count = 0;
  record.stop_requested = false;
  record.endpoints = network->endpoints;
  record.ports = network->ports;
  record.first_user_id = network->first_id;
  record.user_namespace_obstacle = plan->obstacle;
  record.health = {};
  if (record.merged.has_healthcheck()) record.health.status = HealthStatus::kStarting;
  RETURN_IF_ERROR(Commit(record, {Event(record, "start", actor)}, DurabilityOf(record)));
  for (const std::string& warning : started->warnings) {
    Log(LogLevel::kWarning, warning, {{"container", record.id}});
  }
  WatchHealth(record);
  return absl::OkStatus();
}

absl::StatusOr<ContainerRecord> ContainerEngine::Start(absl::string_view reference,
                                                       absl::string_view actor) {
  ASSIGN_OR_RETURN(std::string id, FindId(reference));
  KeyedLocks::Hold hold = locks_.Lock(id);
  ASSIGN_OR_RETURN(ContainerRecord record, Read(id));
  RETURN_IF_ERROR(StartLocked(record, actor));
  return record;
}

void ContainerEngine::WatchHealth(const ContainerRecord& record) {
  if (!record.merged.has_healthcheck()) return;
  HealthPlan plan = PlanHealth(record.merged.healthcheck());
  health_.Watch(record.id, record.started_at, plan,
                NextProbeDelay(plan, record.health, record.started_at, clock_.Now()));
}

std::optional<absl::Duration> ContainerEngine::RecordProbe(const std::string& id,
                                                           absl::Time started_at,
                                                           const HealthPlan& plan,
                                                           const ProbeResult& result) {
  KeyedLocks::Hold hold = locks_.Lock(id);
  absl::StatusOr<ContainerRecord> record = Read(id);
  // It is deleted, or this is not the run that was probed.
  if (!record.ok() || !IsLive(record->state) || record->started_at != started_at) {
    return std::nullopt;
  }
  HealthStatus before = record->health.status;
  record->health = NextHealth(plan, record->health, started_at, result);
  std::vector<NewEvent> events;
  if (record->health.status != before) {
    bool healthy = record->health.status == HealthStatus::kHealthy;
    events.push_back(Event(*record, "health_status", "runtime",
                           {{"health_status", healthy ? "healthy" : "unhealthy"}}));
  }
  absl::Status committed = Commit(*record, events);
  if (!committed.ok()) {
    Log(LogLevel::kWarning, "a probe's result was not recorded",
        {{"container", id}, {"why", committed.ToString()}});
  }
  return NextProbeDelay(plan, record->health, started_at, clock_.Now());
}

}  // namespace darse::runtime
