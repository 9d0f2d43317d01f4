#include "services/scheduler/scheduler_server.h"

#include <utility>

#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "services/scheduler/schema.h"
#include "services/scheduler/stacks/stack_store.h"

namespace darse::scheduler {
namespace {

constexpr char kService[] = "scheduler";
constexpr absl::Duration kGrace = absl::Seconds(2);

// A predecessor that was killed holds its file until the kernel is done with it.
constexpr absl::Duration kPredecessorEnds = absl::Seconds(5);

absl::StatusOr<std::unique_ptr<sqlite::Database>> OpenDatabase(const std::string& path,
                                                               Clock& clock) {
  const absl::Time deadline = clock.Now() + kPredecessorEnds;
  for (;;) {
    auto db = sqlite::Database::Open(path, kMigrations);
    if (!absl::IsUnavailable(db.status()) || clock.Now() > deadline) return db;
    absl::SleepFor(absl::Milliseconds(20));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SchedulerServer>> SchedulerServer::Start(const Settings& settings,
                                                                        Clock& clock) {
  const std::string state = settings.StateDirectory(kService);
  RETURN_IF_ERROR(MakeDirectories(state, 0700));
  RETURN_IF_ERROR(MakeDirectories(settings.run));
  ASSIGN_OR_RETURN(auto db, OpenDatabase(JoinPath(state, "scheduler.db"), clock));
  if (db->was_damaged()) {
    Log(LogLevel::kError,
        "the database was damaged and set aside: apply the stacks again; their containers run on");
  }
  ASSIGN_OR_RETURN(auto book, StackBook::Load(*db));
  ASSIGN_OR_RETURN(auto contexts, ContextDirectory::Open(JoinPath(state, "contexts")));
  std::vector<SeenContainer> seen;
  RETURN_IF_ERROR(db->Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(seen, StackStore::LoadContainers(tx));
    return absl::OkStatus();
  }));
  std::unique_ptr<SchedulerServer> self(
      new SchedulerServer(settings, clock, std::move(db), std::move(book), std::move(contexts)));
  self->cache_.Restore(seen);
  self->observe_.Start();
  self->loop_.Start();
  ASSIGN_OR_RETURN(self->server_, rpc::Server::Start({.socket_path = settings.SocketPath(kService)},
                                                     {&self->stack_rpc_, &self->node_rpc_}));
  return self;
}

SchedulerServer::SchedulerServer(const Settings& settings, Clock& clock,
                                 std::unique_ptr<sqlite::Database> db,
                                 std::unique_ptr<StackBook> book,
                                 std::unique_ptr<ContextDirectory> contexts)
    : db_(std::move(db)),
      book_(std::move(book)),
      contexts_(std::move(contexts)),
      runtime_link_({.peer = "runtime", .socket_path = settings.SocketPath("runtime")}, clock),
      builder_link_({.peer = "builder", .socket_path = settings.SocketPath("builder")}, clock),
      runtime_(runtime_link_),
      builder_(builder_link_),
      survey_(runtime_, builder_, cache_),
      converge_(*book_, board_, cache_, survey_, runtime_, builder_, *contexts_, clock),
      loop_(*book_, board_, survey_, converge_, clock, {}),
      observe_(runtime_, *db_, cache_, clock,
               [this] {
                 loop_.Wake();
                 board_.Touch();
               }),
      engine_(*book_, board_, cache_, survey_, loop_, *contexts_, clock),
      stack_rpc_(engine_, board_, *contexts_),
      node_rpc_(engine_, {&runtime_link_, &builder_link_}, clock) {
  const auto watch = [this](rpc::PeerLink& link) {
    link.OnChange([this, &link](bool present) {
      Log(LogLevel::kInfo, present ? "peer is here" : "peer is missing", {{"peer", link.peer()}});
      if (present) node_rpc_.NotePresent(link.peer());
      loop_.Wake();
    });
  };
  watch(runtime_link_);
  watch(builder_link_);
}

SchedulerServer::~SchedulerServer() {
  if (server_ != nullptr) server_->Stop(kGrace);
  runtime_link_.OnChange(nullptr);
  builder_link_.OnChange(nullptr);
  runtime_.Cancel();
  builder_.Cancel();
}

}  // namespace darse::scheduler
