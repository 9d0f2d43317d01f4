#include "tools/darse/container/follow_logs.h"

#include <stdio.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>

#include "libs/base/status_macros.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

void Put(const LogLine& line, const std::string& text) {
  FILE* out = line.stream() == STREAM_STDERR ? stderr : stdout;
  fwrite(text.data(), 1, text.size(), out);
}

absl::Status ReadOne(Session& session, const LogSource& source, ReadLogsRequest request,
                     const std::function<void(const ReadLogsResponse&)>& take) {
  request.set_container(source.container);
  ASSIGN_OR_RETURN(auto stream, session.Open(runtime::kReadLogs, request));
  ReadLogsResponse response;
  while (stream.Read(response)) take(response);
  return stream.Finish();
}

// Lines of several containers in the order of their times.
absl::StatusOr<int> ShowMerged(Session& session, const std::vector<LogSource>& sources,
                               const ReadLogsRequest& request) {
  struct Line {
    size_t source;
    LogLine line;
  };
  std::vector<Line> lines;
  for (size_t i = 0; i < sources.size(); ++i) {
    RETURN_IF_ERROR(ReadOne(session, sources[i], request, [&](const ReadLogsResponse& response) {
      for (const LogLine& line : response.lines()) lines.push_back({i, line});
    }));
  }
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
    return std::forward_as_tuple(a.line.time().seconds(), a.line.time().nanos()) <
           std::forward_as_tuple(b.line.time().seconds(), b.line.time().nanos());
  });
  std::vector<LogPrinter> printers;
  for (const LogSource& source : sources) printers.emplace_back(source.format);
  for (const Line& line : lines) Put(line.line, printers[line.source].Text(line.line));
  return kOk;
}

}  // namespace

absl::StatusOr<int> ShowLogs(Session& session, const std::vector<LogSource>& sources,
                             const ReadLogsRequest& request) {
  if (!request.follow() && sources.size() > 1) return ShowMerged(session, sources, request);
  RETURN_IF_ERROR(session.CheckAlive(Service::kRuntime));
  std::mutex mutex;
  std::vector<absl::Status> ends(sources.size());
  auto show = [&](size_t i) {
    LogPrinter printer(sources[i].format);
    ends[i] = ReadOne(session, sources[i], request, [&](const ReadLogsResponse& response) {
      std::lock_guard<std::mutex> lock(mutex);
      for (const LogLine& line : response.lines()) Put(line, printer.Text(line));
      // A batch is what there was: whoever follows wants to see it now.
      fflush(stdout);
    });
  };
  if (sources.size() == 1) {
    show(0);
  } else {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < sources.size(); ++i) threads.emplace_back(show, i);
    for (std::thread& thread : threads) thread.join();
  }
  for (const absl::Status& end : ends) RETURN_IF_ERROR(end);
  return kOk;
}

}  // namespace darse::client
