// Where `top` has its frames from: the metrics service; while that is missing, the runtime's live
// figures and this host's /proc, with a notice that says so.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "darse/metrics/v1/metrics_service.pb.h"
#include "darse/runtime/v1/container_service.pb.h"
#include "libs/base/unique_fd.h"
#include "tools/darse/session/session.h"

namespace darse::client {

struct ShownFrame {
  darse::metrics::v1::Frame frame;
  // Empty unless figures come from the runtime, or the runtime is missing.
  std::string notice;
};

// Two readings of the runtime as one frame with rates. Pure but for the host part.
darse::metrics::v1::Frame FrameFromStats(const darse::runtime::v1::GetStatsResponse& before,
                                         const darse::runtime::v1::GetStatsResponse& after);

// One frame now. An error only if both metrics and the runtime are missing.
absl::StatusOr<ShownFrame> ReadFrame(Session& session);

// One a second, on a thread.
class FrameSource {
 public:
  explicit FrameSource(Session& session);
  ~FrameSource();
  FrameSource(const FrameSource&) = delete;
  FrameSource& operator=(const FrameSource&) = delete;

  // Readable when Take() has something new.
  int fd() const { return ready_.get(); }
  // The newest frame, or why there is none.
  absl::StatusOr<ShownFrame> Take();

 private:
  void Run();
  absl::Status FollowMetrics();
  absl::Status PollRuntime();
  void Publish(absl::StatusOr<ShownFrame> frame);
  bool Sleep(absl::Duration duration);

  Session& session_;
  UniqueFd ready_;
  UniqueFd stop_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  absl::StatusOr<ShownFrame> newest_;
  std::function<void()> cancel_;
  std::thread thread_;  // last: it uses all above
};

}  // namespace darse::client
