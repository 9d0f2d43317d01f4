// metrics: one series over time, as a curve, a table or JSON; without an argument, which series
// there are.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/metrics_methods.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/session.h"
#include "tools/darse/top/sparkline.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::metrics::v1;  // NOLINT: message names only

constexpr int kCurveWidth = 72;

std::string ValueText(absl::string_view metric, double value) {
  if (absl::StrContains(metric, "bytes")) {
    return absl::StrCat(BinarySize(static_cast<int64_t>(value)),
                        absl::EndsWith(metric, "per_second") ? "/s" : "");
  }
  if (absl::EndsWith(metric, "percent")) return absl::StrFormat("%.1f%%", value);
  return absl::StrFormat("%.6g", value);
}

absl::StatusOr<int> ListAll(Session& session, const std::string& format) {
  ListSeriesRequest request;
  std::vector<Json> rows;
  do {
    ASSIGN_OR_RETURN(ListSeriesResponse page, session.Call(metrics::kListSeries, request));
    for (const SeriesKey& key : page.series()) {
      rows.push_back(Json::Object({{"Series", absl::StrCat(key.subject(), ":", key.metric())},
                                   {"Subject", key.subject()},
                                   {"Metric", key.metric()}}));
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  ASSIGN_OR_RETURN(std::string text, Listing(rows, {{"Subject", "SUBJECT"}, {"Metric", "METRIC"}},
                                             format, {"Series"}));
  session.Print(text);
  return kOk;
}

Json PointRow(const Point& point, absl::string_view metric) {
  const absl::Time time = ToTime(point.time());
  return Json::Object({
      {"Time", absl::FormatTime(absl::RFC3339_sec, time, absl::LocalTimeZone())},
      {"Average", point.average()},
      {"Minimum", point.minimum()},
      {"Maximum", point.maximum()},
      {"AverageText", ValueText(metric, point.average())},
      {"MinimumText", ValueText(metric, point.minimum())},
      {"MaximumText", ValueText(metric, point.maximum())},
  });
}

std::string Summary(const std::vector<Point>& points, const SeriesKey& series, absl::Time start,
                    absl::Time end, absl::Duration resolution) {
  double sum = 0;
  double lowest = points.front().minimum();
  double highest = points.front().maximum();
  for (const Point& point : points) {
    sum += point.average();
    lowest = std::min(lowest, point.minimum());
    highest = std::max(highest, point.maximum());
  }
  const std::string& metric = series.metric();
  return absl::StrCat(
      series.subject(), " ", metric, "\n", Sparkline(points, start, end, kCurveWidth), "\n",
      ClockTime(start, end), " to ", ClockTime(end, end), ", a point every ",
      absl::FormatDuration(resolution), "\n",
      Table(
          {{"minimum", "average", "maximum", "last"},
           {ValueText(metric, lowest), ValueText(metric, sum / static_cast<double>(points.size())),
            ValueText(metric, highest), ValueText(metric, points.back().average())}}));
}

absl::StatusOr<std::string> Marks(Session& session, const QuerySeriesRequest& query) {
  ListMarksRequest request;
  request.set_subject(query.series().subject());
  *request.mutable_start_time() = query.start_time();
  *request.mutable_end_time() = query.end_time();
  ASSIGN_OR_RETURN(ListMarksResponse response, session.Call(metrics::kListMarks, request));
  std::string text;
  for (const Mark& mark : response.marks()) {
    absl::StrAppend(&text, ClockTime(ToTime(mark.time()), absl::Now()), "  ", mark.action(), "  ",
                    mark.text(), "\n");
  }
  return text;
}

absl::StatusOr<int> Run(Session& session, const Arguments& arguments) {
  const std::string format = arguments.Text("format");
  if (arguments.positional().empty()) return ListAll(session, format);
  const std::string name = arguments.At(0);
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == name.size()) {
    return UsageError(absl::StrCat("\"", name,
                                   "\" is no series: write SUBJECT:METRIC, as in "
                                   "host:cpu_percent; `darse metrics` lists them"));
  }
  const absl::Time now = absl::Now();
  ASSIGN_OR_RETURN(absl::Time start,
                   Annotate(ParseMoment(arguments.Text("since", "1h"), now), "--since"));
  absl::Time end = now;
  if (arguments.Has("until")) {
    ASSIGN_OR_RETURN(end, Annotate(ParseMoment(arguments.Text("until"), now), "--until"));
  }
  QuerySeriesRequest request;
  request.mutable_series()->set_subject(name.substr(0, colon));
  request.mutable_series()->set_metric(name.substr(colon + 1));
  *request.mutable_start_time() = ToProto(start);
  *request.mutable_end_time() = ToProto(end);
  if (arguments.Has("step")) {
    ASSIGN_OR_RETURN(absl::Duration step,
                     Annotate(ParseDuration(arguments.Text("step")), "--step"));
    *request.mutable_step() = ToProto(step);
  }
  ASSIGN_OR_RETURN(QuerySeriesResponse response, session.Call(metrics::kQuerySeries, request));
  const std::vector<Point> points(response.points().begin(), response.points().end());
  if (format.empty()) {
    if (points.empty()) {
      return absl::NotFoundError(absl::StrCat("there are no samples of ", name,
                                              " in that time; "
                                              "`darse metrics` lists what there is"));
    }
    session.Print(Summary(points, request.series(), start, end, ToDuration(response.resolution())));
    ASSIGN_OR_RETURN(std::string marks, Marks(session, request));
    if (!marks.empty()) session.Print("\n" + marks);
    return kOk;
  }
  std::vector<Json> rows;
  for (const Point& point : points) rows.push_back(PointRow(point, request.series().metric()));
  ASSIGN_OR_RETURN(std::string text, Listing(rows,
                                             {{"Time", "TIME"},
                                              {"AverageText", "AVERAGE"},
                                              {"MinimumText", "MINIMUM"},
                                              {"MaximumText", "MAXIMUM"}},
                                             format, {"Average", "Minimum", "Maximum"}));
  session.Print(text);
  return kOk;
}

}  // namespace

const Verb& MetricsVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "metrics",
      .summary = "show a series of samples over time, or which series there are",
      .arguments = "[SUBJECT:METRIC]",
      .max_arguments = 1,
      .flags = {{"since", 0, Flag::kText, "TIME", "from there (1h)"},
                {"until", 0, Flag::kText, "TIME", "up to there (now)"},
                {"step", 0, Flag::kText, "DURATION",
                 "a point for so long; the finest kept if left out"},
                {"format", 0, Flag::kText, "FORMAT",
                 "a curve if left out; json, table, or a template"}},
      .examples =
          "darse metrics\n"
          "darse metrics host:cpu_percent --since 1h\n"
          "darse metrics journal/web/1:memory_working_set_bytes --since 24h --format table\n",
      .run = Run,
  };
  return *kVerb;
}

}  // namespace darse::client
