// Two threads: one samples at the beginning of every second and hands the frame on; the other
// writes the history now and then, so that a slow disk delays no sample.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "services/metrics/containers/known_container.h"
#include "services/metrics/history/history_engine.h"
#include "services/metrics/samples/frame_hub.h"
#include "services/metrics/samples/sampler.h"

namespace darse::metrics {

class SampleLoop {
 public:
  struct Inputs {
    std::function<std::shared_ptr<const std::vector<KnownContainer>>()> containers;
    std::function<std::optional<absl::Time>()> runtime_missing_since;
  };
  SampleLoop(Sampler sampler, Inputs inputs, FrameHub& hub, HistoryEngine& history, Clock& clock);
  // Writes what is not written yet.
  ~SampleLoop();

 private:
  void SampleEverySecond();
  void FlushNowAndThen();
  bool WaitOrStop(absl::Duration time);

  Sampler sampler_;
  const Inputs inputs_;
  FrameHub& hub_;
  HistoryEngine& history_;
  Clock& clock_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread sampling_;
  std::thread flushing_;
};

}  // namespace darse::metrics
