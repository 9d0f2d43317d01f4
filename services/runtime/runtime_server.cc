#include "services/runtime/runtime_server.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/event_log.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/netlink/rtnetlink_driver.h"
#include "libs/linux/nft/libnftables_driver.h"
#include "libs/os/files.h"
#include "libs/os/process_identity.h"
#include "libs/rpc/server.h"
#include "libs/sqlite/database.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/images/image_engine.h"
#include "services/runtime/networks/network_engine.h"
#include "services/runtime/networks/network_loop.h"
#include "services/runtime/networks/resolver_supervisor.h"
#include "services/runtime/node/node_engine.h"
#include "services/runtime/rpc/container_rpc.h"
#include "services/runtime/rpc/event_rpc.h"
#include "services/runtime/rpc/image_rpc.h"
#include "services/runtime/rpc/network_rpc.h"
#include "services/runtime/rpc/node_rpc.h"
#include "services/runtime/rpc/snapshot_rpc.h"
#include "services/runtime/rpc/volume_rpc.h"
#include "services/runtime/schema.h"
#include "services/runtime/snapshots/snapshot_engine.h"
#include "services/runtime/volumes/volume_engine.h"

namespace darse::runtime {
namespace {

constexpr int64_t kEventsKept = 100'000;
constexpr absl::Duration kBetweenTrims = absl::Minutes(10);

// 64 hex digits that nobody can guess.
std::string NewId() {
  char bytes[32];
  size_t got = 0;
  while (got < sizeof(bytes)) {
    ssize_t more = getrandom(bytes + got, sizeof(bytes) - got, 0);
    if (more > 0) got += static_cast<size_t>(more);
  }
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

struct Paths {
  std::string state;
  std::string programs;

  std::string Program(absl::string_view name) const { return JoinPath(programs, name); }
  std::string ProgramIfThere(absl::string_view name) const {
    return Exists(Program(name)) ? Program(name) : "";
  }
};

// Members are destroyed bottom-up: whoever uses something stands below it.
class Server final : public RuntimeServer {
 public:
  Server(const Settings& settings, Clock& clock, Paths paths, std::unique_ptr<sqlite::Database> db,
         std::unique_ptr<cgroup::CgroupDriver> cgroups)
      : db_(std::move(db)),
        cgroups_(std::move(cgroups)),
        events_(*db_, clock),
        rules_(settings.network_nft_table),
        node_(*db_, clock, cgroups_->Mode(), NewId),
        snapshots_({.root = paths.state,
                    .unpack_program = paths.Program("darse-unpack"),
                    .is_running =
                        [this](absl::string_view id) { return containers_.SnapshotIsRunning(id); }},
                   *db_, clock),
        images_({.containers_of = [this](absl::string_view image) { return ContainersOf(image); }},
                *db_, events_, snapshots_, clock),
        volumes_(*db_, events_, clock, NewId, JoinPath(paths.state, "volumes")),
        networks_(*db_, events_, links_, rules_, clock, NewId,
                  {.bridge_prefix = settings.network_bridge_prefix,
                   .pool = settings.network_pool,
                   .run_dir = settings.run,
                   .nft_table = settings.network_nft_table}),
        containers_(*db_, events_, clock, *cgroups_, {images_, snapshots_, networks_, volumes_},
                    NewId,
                    {.root = paths.state,
                     .run = settings.run,
                     .cgroup_parent = settings.cgroup_parent,
                     .shim_program = paths.Program("darse-shim"),
                     .init_program = paths.ProgramIfThere("darse-init"),
                     .shim_pool_size = settings.shim_pool_size}),
        network_loop_(networks_),
        resolver_({.program = paths.Program("darse-dns"), .run_dir = settings.run}),
        container_rpc_(containers_, streams_),
        event_rpc_(events_),
        image_rpc_(images_, clock),
        network_rpc_(networks_),
        node_rpc_(node_, containers_, images_, volumes_, networks_, paths.state),
        snapshot_rpc_(snapshots_),
        volume_rpc_(volumes_) {}

  ~Server() override {
    if (server_ != nullptr) server_->Stop(absl::ZeroDuration());
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    if (trimmer_.joinable()) trimmer_.join();
    server_.reset();
  }

  absl::Status Recover() {
    ASSIGN_OR_RETURN(bool rebooted, node_.Recover());
    RETURN_IF_ERROR(events_.AppendFirst(
        {.kind = "node", .action = "start", .id = node_.id(), .actor = "runtime"}));
    RETURN_IF_ERROR(Annotate(snapshots_.Recover(), "recovering snapshots"));
    return containers_.Recover(rebooted);
  }

  absl::Status Serve(const std::string& socket_path) {
    absl::Status resolver = resolver_.Start();
    if (!resolver.ok()) {
      Log(LogLevel::kError, "containers cannot resolve each other's names",
          {{"why", resolver.ToString()}});
    }
    network_loop_.Start();
    ASSIGN_OR_RETURN(server_,
                     rpc::Server::Start({.socket_path = socket_path},
                                        {&container_rpc_, &event_rpc_, &image_rpc_, &network_rpc_,
                                         &node_rpc_, &snapshot_rpc_, &volume_rpc_}));
    trimmer_ = std::thread([this] { TrimEvents(); });
    return absl::OkStatus();
  }

  void Stop(absl::Duration grace) override { server_->Stop(grace); }

 private:
  std::vector<std::string> ContainersOf(absl::string_view image) {
    absl::StatusOr<std::vector<std::string>> ids = containers_.ContainersOf(image);
    // Better refuse than delete an image that is in use.
    return ids.ok() ? *std::move(ids) : std::vector<std::string>{"unknown"};
  }

  void TrimEvents() {
    absl::MutexLock lock(&mu_);
    while (!mu_.AwaitWithTimeout(absl::Condition(&stopping_), kBetweenTrims)) {
      absl::Status trimmed = events_.Trim(kEventsKept);
      if (!trimmed.ok()) {
        Log(LogLevel::kWarning, "old events were not forgotten", {{"why", trimmed.ToString()}});
      }
      // Leases end without anybody calling.
      absl::Status collected = snapshots_.Collect().status();
      if (!collected.ok()) {
        Log(LogLevel::kWarning, "unused layers were not removed", {{"why", collected.ToString()}});
      }
    }
  }

  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<cgroup::CgroupDriver> cgroups_;
  EventLog events_;
  netlink::RtnetlinkDriver links_;
  nft::LibnftablesDriver rules_;
  NodeEngine node_;
  SnapshotEngine snapshots_;
  ImageEngine images_;
  VolumeEngine volumes_;
  NetworkEngine networks_;
  ContainerEngine containers_;
  NetworkLoop network_loop_;
  ResolverSupervisor resolver_;
  SerialPool streams_{4};
  ContainerRpc container_rpc_;
  EventRpc event_rpc_;
  ImageRpc image_rpc_;
  NetworkRpc network_rpc_;
  NodeRpc node_rpc_;
  SnapshotRpc snapshot_rpc_;
  VolumeRpc volume_rpc_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread trimmer_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RuntimeServer>> RuntimeServer::Start(const Settings& settings,
                                                                    Clock& clock) {
  Paths paths{.state = settings.StateDirectory("runtime")};
  ASSIGN_OR_RETURN(paths.programs, ExecutableDirectory());
  RETURN_IF_ERROR(MakeDirectories(paths.state, 0711));
  RETURN_IF_ERROR(MakeDirectories(settings.run, 0755));
  ASSIGN_OR_RETURN(
      std::unique_ptr<sqlite::Database> db,
      sqlite::Database::Open(JoinPath(paths.state, "runtime.db"), RuntimeMigrations()));
  ASSIGN_OR_RETURN(std::unique_ptr<cgroup::CgroupDriver> cgroups, cgroup::OpenHostCgroups());
  auto server = std::make_unique<Server>(settings, clock, paths, std::move(db), std::move(cgroups));
  RETURN_IF_ERROR(server->Recover());
  RETURN_IF_ERROR(server->Serve(settings.SocketPath("runtime")));
  RETURN_IF_ERROR(WriteOwnPidFile(settings.PidPath("runtime")));
  return server;
}

}  // namespace darse::runtime
