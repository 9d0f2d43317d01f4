#include "tools/darse/top/frame_source.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/metrics_methods.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/top/host_reading.h"

namespace darse::client {
namespace {

using darse::metrics::v1::ContainerSample;
using darse::metrics::v1::Frame;
using darse::metrics::v1::WatchFramesRequest;
using darse::metrics::v1::WatchFramesResponse;
using darse::runtime::v1::ContainerStats;
using darse::runtime::v1::GetStatsResponse;

constexpr absl::Duration kAnswerTime = absl::Seconds(2);
// While metrics is away it is looked for so often.
constexpr int kPollsBetweenLooks = 3;

double PerSecond(int64_t before, int64_t after, double seconds) {
  return seconds > 0 ? std::max(0.0, static_cast<double>(after - before) / seconds) : 0;
}

std::string RuntimeNotice(const Frame& frame) {
  if (!frame.has_runtime_missing_since()) return "";
  return absl::StrCat("the runtime is missing since ",
                      ClockTime(ToTime(frame.runtime_missing_since()), absl::Now()),
                      ": containers known then are still measured");
}

std::string MetricsNotice(Session& session) {
  return absl::StrCat("metrics is missing, ",
                      SinceText(session.AbsenceOf(Service::kMetrics), absl::Now()),
                      ": these are the runtime's live figures, without curves and pressure");
}

// Two readings, `pause` apart.
absl::StatusOr<Frame> FrameFromRuntime(Session& session,
                                       const std::function<bool(absl::Duration)>& sleep,
                                       absl::Duration pause) {
  const HostCounters host_before = ReadHostCounters();
  ASSIGN_OR_RETURN(GetStatsResponse before, session.Call(runtime::kGetStats, {}, kAnswerTime));
  if (!sleep(pause)) return absl::CancelledError();
  ASSIGN_OR_RETURN(GetStatsResponse after, session.Call(runtime::kGetStats, {}, kAnswerTime));
  Frame frame = FrameFromStats(before, after);
  *frame.mutable_time() = ToProto(absl::Now());
  *frame.mutable_host() = HostBetween(host_before, ReadHostCounters());
  return frame;
}

}  // namespace

Frame FrameFromStats(const GetStatsResponse& before, const GetStatsResponse& after) {
  std::map<std::string, const ContainerStats*> earlier;
  for (const ContainerStats& stats : before.stats()) earlier[stats.container_id()] = &stats;
  Frame frame;
  for (const ContainerStats& now : after.stats()) {
    ContainerSample& sample = *frame.add_containers();
    sample.set_container_id(now.container_id());
    sample.set_name(now.name());
    sample.set_state("running");
    sample.set_memory_working_set_bytes(now.memory_working_set_bytes());
    sample.set_memory_limit_bytes(now.memory_limit_bytes());
    sample.set_pids(now.pids());
    sample.set_network_receive_bytes(now.network_receive_bytes());
    sample.set_network_transmit_bytes(now.network_transmit_bytes());
    sample.set_block_read_bytes(now.block_read_bytes());
    sample.set_block_write_bytes(now.block_write_bytes());
    auto found = earlier.find(now.container_id());
    if (found == earlier.end()) continue;
    const ContainerStats& then = *found->second;
    const double seconds = absl::ToDoubleSeconds(ToTime(now.time()) - ToTime(then.time()));
    const double cpu =
        absl::ToDoubleSeconds(ToDuration(now.cpu_time()) - ToDuration(then.cpu_time()));
    if (seconds > 0) sample.set_cpu_percent(std::max(0.0, 100 * cpu / seconds));
    sample.set_network_receive_bytes_per_second(
        PerSecond(then.network_receive_bytes(), now.network_receive_bytes(), seconds));
    sample.set_network_transmit_bytes_per_second(
        PerSecond(then.network_transmit_bytes(), now.network_transmit_bytes(), seconds));
    sample.set_block_read_bytes_per_second(
        PerSecond(then.block_read_bytes(), now.block_read_bytes(), seconds));
    sample.set_block_write_bytes_per_second(
        PerSecond(then.block_write_bytes(), now.block_write_bytes(), seconds));
  }
  return frame;
}

absl::StatusOr<ShownFrame> ReadFrame(Session& session) {
  WatchFramesRequest request;
  request.set_once(true);
  auto stream = session.Open(metrics::kWatchFrames, request);
  if (stream.ok()) {
    WatchFramesResponse response;
    const bool read = stream->Read(response);
    if (!read) stream->Finish().IgnoreError();
    if (read) return ShownFrame{response.frame(), RuntimeNotice(response.frame())};
  }
  auto sleep = [](absl::Duration duration) {
    absl::SleepFor(duration);
    return true;
  };
  ASSIGN_OR_RETURN(Frame frame, FrameFromRuntime(session, sleep, absl::Milliseconds(500)));
  return ShownFrame{std::move(frame), MetricsNotice(session)};
}

FrameSource::FrameSource(Session& session)
    : session_(session),
      ready_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      newest_(absl::UnavailableError("no frame yet")),
      thread_([this] { Run(); }) {}

FrameSource::~FrameSource() {
  stopping_.store(true);
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) < 0) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (cancel_) cancel_();
  }
  thread_.join();
}

absl::StatusOr<ShownFrame> FrameSource::Take() {
  uint64_t count;
  // Nothing to read is nothing new.
  if (read(ready_.get(), &count, sizeof count) < 0) count = 0;
  std::lock_guard<std::mutex> lock(mutex_);
  return newest_;
}

void FrameSource::Publish(absl::StatusOr<ShownFrame> frame) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    newest_ = std::move(frame);
  }
  const uint64_t one = 1;
  if (write(ready_.get(), &one, sizeof one) < 0) return;
}

// False when we are to stop.
bool FrameSource::Sleep(absl::Duration duration) {
  pollfd stop = {stop_.get(), POLLIN, 0};
  return poll(&stop, 1, static_cast<int>(absl::ToInt64Milliseconds(duration))) == 0;
}

absl::Status FrameSource::FollowMetrics() {
  ASSIGN_OR_RETURN(auto stream, session_.Open(metrics::kWatchFrames, WatchFramesRequest()));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    cancel_ = [&stream] { stream.Cancel(); };
  }
  WatchFramesResponse response;
  while (!stopping_.load() && stream.Read(response)) {
    Publish(ShownFrame{response.frame(), RuntimeNotice(response.frame())});
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    cancel_ = nullptr;
  }
  stream.Cancel();
  return stream.Finish();
}

absl::Status FrameSource::PollRuntime() {
  const std::string notice = MetricsNotice(session_);
  for (int i = 0; i < kPollsBetweenLooks && !stopping_.load(); ++i) {
    ASSIGN_OR_RETURN(Frame frame, FrameFromRuntime(
                                      session_, [this](absl::Duration time) { return Sleep(time); },
                                      absl::Seconds(1)));
    Publish(ShownFrame{std::move(frame), notice});
  }
  return absl::OkStatus();
}

void FrameSource::Run() {
  while (!stopping_.load()) {
    FollowMetrics().IgnoreError();
    if (stopping_.load()) return;
    absl::Status status = PollRuntime();
    if (!status.ok() && !stopping_.load()) Publish(status);
    if (!status.ok() && !Sleep(absl::Seconds(1))) return;
  }
}

}  // namespace darse::client
