#include "services/metrics/rpc/metrics_rpc.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"

namespace darse::metrics {
namespace {

constexpr int kMaxMarks = 10'000;
constexpr int kSeriesPage = 1000;

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

void Set(google::protobuf::Timestamp& proto, absl::Time time) {
  int64_t nanos = absl::ToUnixNanos(time);
  proto.set_seconds(nanos / 1'000'000'000);
  proto.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

// A page token is the last series of the page before.
absl::StatusOr<SeriesName> ParseToken(const std::string& token) {
  SeriesName name;
  if (token.empty()) return name;
  std::string text;
  std::vector<std::string> parts;
  if (absl::WebSafeBase64Unescape(token, &text)) parts = absl::StrSplit(text, '\n');
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &name.metric)) {
    return absl::InvalidArgumentError(absl::StrCat("page token \"", token, "\": not one of ours"));
  }
  name.subject = parts[0];
  return name;
}

absl::Status FillSeries(HistoryEngine& history, const v1::ListSeriesRequest& request,
                        v1::ListSeriesResponse& response) {
  if (request.page_size() < 0) return absl::InvalidArgumentError("page size: below 0");
  ASSIGN_OR_RETURN(SeriesName after, ParseToken(request.page_token()));
  int size = request.page_size() == 0 ? kSeriesPage : std::min(request.page_size(), kSeriesPage);
  ASSIGN_OR_RETURN(std::vector<SeriesName> series,
                   history.ListSeries(request.subject(), after, size + 1));
  bool more = series.size() > static_cast<size_t>(size);
  if (more) series.pop_back();
  for (const SeriesName& name : series) {
    const Metric* metric = FindMetric(name.metric);
    if (metric == nullptr) continue;
    v1::SeriesKey& key = *response.add_series();
    key.set_subject(name.subject);
    key.set_metric(std::string(metric->name));
  }
  if (more) {
    response.set_next_page_token(
        absl::WebSafeBase64Escape(absl::StrCat(series.back().subject, "\n", series.back().metric)));
  }
  return absl::OkStatus();
}

absl::Status FillPoints(HistoryEngine& history, const v1::QuerySeriesRequest& request,
                        v1::QuerySeriesResponse& response) {
  HistoryQuery query{.subject = request.series().subject(),
                     .metric = request.series().metric(),
                     .start = ToTime(request.start_time()),
                     .end = ToTime(request.end_time())};
  if (request.has_step()) {
    query.step =
        absl::Seconds(request.step().seconds()) + absl::Nanoseconds(request.step().nanos());
    if (query.step < absl::Seconds(1)) {
      return absl::InvalidArgumentError("query: the step is below a second");
    }
  }
  ASSIGN_OR_RETURN(HistoryAnswer answer, history.Query(query));
  for (const HistoryPoint& point : answer.points) {
    v1::Point& proto = *response.add_points();
    Set(*proto.mutable_time(), point.time);
    proto.set_average(point.summary.average());
    proto.set_minimum(point.summary.minimum);
    proto.set_maximum(point.summary.maximum);
  }
  response.mutable_resolution()->set_seconds(absl::ToInt64Seconds(answer.resolution));
  return absl::OkStatus();
}

absl::Status FillMarks(sqlite::Database& db, const MarkStore& store,
                       const v1::ListMarksRequest& request, v1::ListMarksResponse& response) {
  // Unset: from the beginning, up to the end.
  absl::Time start = request.has_start_time() ? ToTime(request.start_time()) : absl::UnixEpoch();
  absl::Time end =
      request.has_end_time() ? ToTime(request.end_time()) : absl::FromUnixNanos(INT64_MAX);
  std::vector<Mark> marks;
  RETURN_IF_ERROR(db.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(marks, store.List(tx, request.subject(), start, end, kMaxMarks));
    return absl::OkStatus();
  }));
  for (const Mark& mark : marks) {
    v1::Mark& proto = *response.add_marks();
    Set(*proto.mutable_time(), mark.time);
    proto.set_subject(mark.subject);
    proto.set_action(mark.action);
    proto.set_text(mark.text);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerWriteReactor<v1::WatchFramesResponse>* MetricsRpc::WatchFrames(
    grpc::CallbackServerContext*, const v1::WatchFramesRequest* request) {
  auto waker = std::make_shared<rpc::Waker>();
  std::shared_ptr<void> subscription = hub_.Subscribe([waker] { waker->Wake(); });
  return rpc::StreamFrom<v1::WatchFramesResponse>(
      waker,
      [this, subscription, once = request->once(),
       sent = int64_t{0}](v1::WatchFramesResponse& response) mutable -> absl::StatusOr<rpc::Next> {
        if (once && sent > 0) return rpc::Next::kEnd;
        FrameHub::Newest newest = hub_.newest();
        // A client that is slow misses frames in between.
        if (newest.number == sent) return rpc::Next::kWait;
        sent = newest.number;
        *response.mutable_frame() = newest.frame->frame;
        return rpc::Next::kWrite;
      });
}

grpc::Status MetricsRpc::ListSeries(grpc::ServerContext*, const v1::ListSeriesRequest* request,
                                    v1::ListSeriesResponse* response) {
  return rpc::ToGrpc(FillSeries(history_, *request, *response));
}

grpc::Status MetricsRpc::QuerySeries(grpc::ServerContext*, const v1::QuerySeriesRequest* request,
                                     v1::QuerySeriesResponse* response) {
  return rpc::ToGrpc(FillPoints(history_, *request, *response));
}

grpc::Status MetricsRpc::ListMarks(grpc::ServerContext*, const v1::ListMarksRequest* request,
                                   v1::ListMarksResponse* response) {
  return rpc::ToGrpc(FillMarks(db_, marks_, *request, *response));
}

grpc::Status MetricsRpc::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                   v1::GetStatusResponse* response) {
  absl::StatusOr<HistoryEngine::Totals> totals = history_.GetTotals();
  if (!totals.ok()) return rpc::ToGrpc(totals.status());
  response->set_samples_stored(totals->samples);
  response->set_database_bytes(totals->bytes);
  response->set_database_limit_bytes(totals->limit_bytes);
  response->set_event_sequence(inputs_.event_sequence());
  std::optional<absl::Time> missing = inputs_.runtime_missing_since();
  if (missing) Set(*response->mutable_runtime_missing_since(), *missing);
  response->set_http_address(inputs_.http_address);
  return grpc::Status::OK;
}

}  // namespace darse::metrics
