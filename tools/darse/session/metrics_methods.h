// Methods of the metrics that the client calls; methods_test holds each against the protos.
#pragma once

#include "darse/metrics/v1/metrics_service.pb.h"
#include "tools/darse/session/method.h"

namespace darse::client::metrics {

namespace v1 = ::darse::metrics::v1;
inline constexpr StreamMethod<v1::WatchFramesRequest, v1::WatchFramesResponse> kWatchFrames{
    Service::kMetrics, "/darse.metrics.v1.MetricsService/WatchFrames"};
inline constexpr Method<v1::ListSeriesRequest, v1::ListSeriesResponse> kListSeries{
    Service::kMetrics, "/darse.metrics.v1.MetricsService/ListSeries"};
inline constexpr Method<v1::QuerySeriesRequest, v1::QuerySeriesResponse> kQuerySeries{
    Service::kMetrics, "/darse.metrics.v1.MetricsService/QuerySeries"};
inline constexpr Method<v1::ListMarksRequest, v1::ListMarksResponse> kListMarks{
    Service::kMetrics, "/darse.metrics.v1.MetricsService/ListMarks"};
inline constexpr Method<v1::GetStatusRequest, v1::GetStatusResponse> kGetStatus{
    Service::kMetrics, "/darse.metrics.v1.MetricsService/GetStatus"};

}  // namespace darse::client::metrics
