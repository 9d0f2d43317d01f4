#include "services/builder/builder_server.h"

#include <utility>

#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/oci/image_config.h"
#include "libs/os/files.h"
#include "services/builder/schema.h"

namespace darse::builder {
namespace {

// More would only wait for each other: RUN steps have two slots. Builds that find all in the cache
// need none.
constexpr int kWorkers = 4;
constexpr int kRunSlots = 2;

}  // namespace

BuilderServer::BuilderServer(const Settings& settings, std::unique_ptr<sqlite::Database> db,
                             Clock& clock, std::function<std::string()> new_id)
    : db_(std::move(db)),
      link_({.peer = "runtime", .socket_path = settings.SocketPath("runtime")}, clock),
      runtime_(link_, new_id),
      contexts_(settings.StateDirectory("builder"), *db_, clock),
      cache_(*db_, runtime_, clock),
      slots_(kRunSlots),
      builds_({.db = *db_,
               .clock = clock,
               .runtime = runtime_,
               .contexts = contexts_,
               .cache = cache_,
               .slots = slots_,
               .platform = {.architecture = oci::HostArchitecture()}},
              new_id),
      build_rpc_(builds_, contexts_, cache_) {}

absl::StatusOr<std::unique_ptr<BuilderServer>> BuilderServer::Start(
    const Settings& settings, Clock& clock, std::function<std::string()> new_id) {
  std::string state = settings.StateDirectory("builder");
  RETURN_IF_ERROR(MakeDirectories(state, 0700));
  RETURN_IF_ERROR(MakeDirectories(settings.run));
  ASSIGN_OR_RETURN(std::unique_ptr<sqlite::Database> db,
                   sqlite::Database::Open(JoinPath(state, "builder.db"), kMigrations));
  if (db->was_damaged()) {
    Log(LogLevel::kWarning,
        "the database was damaged and set aside: builds and cache are forgotten");
  }
  std::unique_ptr<BuilderServer> server(
      new BuilderServer(settings, std::move(db), clock, std::move(new_id)));
  RETURN_IF_ERROR(server->contexts_.Recover());
  RETURN_IF_ERROR(server->builds_.Recover());
  BuildEngine& builds = server->builds_;
  server->link_.OnChange([&builds](bool present) {
    Log(LogLevel::kInfo, present ? "runtime is there" : "runtime is missing");
    builds.RuntimeChanged(present);
  });
  server->builds_.Start(kWorkers);
  server->housekeeping_ = std::make_unique<HousekeepingLoop>(
      HousekeepingPolicy{}, server->contexts_, builds, server->cache_, clock);
  ASSIGN_OR_RETURN(
      server->server_,
      rpc::Server::Start({.socket_path = settings.SocketPath("builder")}, {&server->build_rpc_}));
  return server;
}

BuilderServer::~BuilderServer() {
  if (server_ != nullptr) server_->Stop(absl::Milliseconds(500));
  server_.reset();
  housekeeping_.reset();
  // The link calls into the builds until it is told otherwise.
  link_.OnChange(nullptr);
  builds_.Stop();
}

}  // namespace darse::builder
