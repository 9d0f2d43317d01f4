// The metrics service put together.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/rpc/peer_link.h"
#include "libs/rpc/server.h"
#include "libs/settings/settings.h"
#include "libs/sqlite/database.h"
#include "services/metrics/containers/runtime_loop.h"
#include "services/metrics/exposition/http_loop.h"
#include "services/metrics/history/history_engine.h"
#include "services/metrics/rpc/metrics_rpc.h"
#include "services/metrics/rpc/runtime_grpc_client.h"
#include "services/metrics/samples/frame_hub.h"
#include "services/metrics/samples/sample_loop.h"

namespace darse::metrics {

class MetricsServer {
 public:
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const Settings& settings,
                                                              Clock& clock);
  // Lets calls end, then loops, then writes what is left.
  ~MetricsServer();

 private:
  MetricsServer() = default;

  // Destroyed from the last to the first.
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<rpc::PeerLink> runtime_link_;
  std::unique_ptr<RuntimeGrpcClient> runtime_;
  FrameHub hub_;
  std::unique_ptr<HistoryEngine> history_;
  std::unique_ptr<RuntimeLoop> runtime_loop_;
  std::unique_ptr<SampleLoop> sample_loop_;
  std::unique_ptr<HttpLoop> http_;
  std::unique_ptr<MetricsRpc> rpc_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace darse::metrics
