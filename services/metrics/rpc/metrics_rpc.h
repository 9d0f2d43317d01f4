// MetricsService over gRPC: decode, call, encode.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>
#include <string>

#include "darse/metrics/v1/metrics_service.grpc.pb.h"
#include "libs/sqlite/database.h"
#include "services/metrics/containers/mark_store.h"
#include "services/metrics/history/history_engine.h"
#include "services/metrics/samples/frame_hub.h"

namespace darse::metrics {

class MetricsRpc final
    : public v1::MetricsService::WithCallbackMethod_WatchFrames<v1::MetricsService::Service> {
 public:
  struct Inputs {
    std::function<int64_t()> event_sequence;
    std::function<std::optional<absl::Time>()> runtime_missing_since;
    std::string http_address;
  };
  MetricsRpc(FrameHub& hub, HistoryEngine& history, sqlite::Database& db, Inputs inputs)
      : hub_(hub), history_(history), db_(db), inputs_(std::move(inputs)) {}

  grpc::ServerWriteReactor<v1::WatchFramesResponse>* WatchFrames(
      grpc::CallbackServerContext*, const v1::WatchFramesRequest* request) override;
  grpc::Status ListSeries(grpc::ServerContext*, const v1::ListSeriesRequest* request,
                          v1::ListSeriesResponse* response) override;
  grpc::Status QuerySeries(grpc::ServerContext*, const v1::QuerySeriesRequest* request,
                           v1::QuerySeriesResponse* response) override;
  grpc::Status ListMarks(grpc::ServerContext*, const v1::ListMarksRequest* request,
                         v1::ListMarksResponse* response) override;
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                         v1::GetStatusResponse* response) override;

 private:
  FrameHub& hub_;
  HistoryEngine& history_;
  sqlite::Database& db_;
  MarkStore marks_;
  const Inputs inputs_;
};

}  // namespace darse::metrics
