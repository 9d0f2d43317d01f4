// All parts of the scheduler, in the order in which they depend on each other.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/rpc/peer_link.h"
#include "libs/rpc/server.h"
#include "libs/settings/settings.h"
#include "libs/sqlite/database.h"
#include "services/scheduler/contexts/context_directory.h"
#include "services/scheduler/observe/observe_loop.h"
#include "services/scheduler/peers/builder_client.h"
#include "services/scheduler/peers/runtime_client.h"
#include "services/scheduler/rpc/node_rpc.h"
#include "services/scheduler/rpc/stack_rpc.h"
#include "services/scheduler/stacks/converge_loop.h"

namespace darse::scheduler {

class SchedulerServer {
 public:
  static absl::StatusOr<std::unique_ptr<SchedulerServer>> Start(const Settings& settings,
                                                                Clock& clock);
  // Takes no new calls, lets steps under way end, then stops.
  ~SchedulerServer();

 private:
  SchedulerServer(const Settings& settings, Clock& clock, std::unique_ptr<sqlite::Database> db,
                  std::unique_ptr<StackBook> book, std::unique_ptr<ContextDirectory> contexts);

  // Members are destroyed bottom-up: dependents stand below.
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<StackBook> book_;
  std::unique_ptr<ContextDirectory> contexts_;
  ObservedCache cache_;
  StackBoard board_;
  rpc::PeerLink runtime_link_;
  rpc::PeerLink builder_link_;
  RuntimeClient runtime_;
  BuilderClient builder_;
  Survey survey_;
  ConvergeEngine converge_;
  ConvergeLoop loop_;
  ObserveLoop observe_;
  StackEngine engine_;
  StackRpc stack_rpc_;
  NodeRpc node_rpc_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace darse::scheduler
