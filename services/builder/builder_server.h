// The builder, put together.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/rpc/peer_link.h"
#include "libs/rpc/server.h"
#include "libs/settings/settings.h"
#include "libs/sqlite/database.h"
#include "services/builder/builds/build_engine.h"
#include "services/builder/cache/cache_engine.h"
#include "services/builder/contexts/context_engine.h"
#include "services/builder/housekeeping_loop.h"
#include "services/builder/rpc/build_rpc.h"
#include "services/builder/runtime_client.h"

namespace darse::builder {

class BuilderServer {
 public:
  static absl::StatusOr<std::unique_ptr<BuilderServer>> Start(const Settings& settings,
                                                              Clock& clock,
                                                              std::function<std::string()> new_id);
  ~BuilderServer();

 private:
  BuilderServer(const Settings& settings, std::unique_ptr<sqlite::Database> db, Clock& clock,
                std::function<std::string()> new_id);

  // Destroyed bottom-up: dependents stand below.
  std::unique_ptr<sqlite::Database> db_;
  rpc::PeerLink link_;
  RuntimeClient runtime_;
  ContextEngine contexts_;
  CacheEngine cache_;
  RunSlots slots_;
  BuildEngine builds_;
  BuildRpc build_rpc_;
  std::unique_ptr<HousekeepingLoop> housekeeping_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace darse::builder
