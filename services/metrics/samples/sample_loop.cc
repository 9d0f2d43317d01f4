#include "services/metrics/samples/sample_loop.h"

#include <time.h>

#include <utility>

#include "libs/base/log.h"

namespace darse::metrics {
namespace {

constexpr absl::Duration kPeriod = absl::Seconds(1);
constexpr absl::Duration kFlushEvery = absl::Seconds(15);
// Of the flushes, each so manieth writes the coarse windows too and trims.
constexpr int kAllEvery = 4;

absl::Duration Monotonic() {
  struct timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

absl::Duration UntilNextSecond(absl::Time now) {
  return kPeriod - (now - absl::UnixEpoch()) % kPeriod;
}

}  // namespace

SampleLoop::SampleLoop(Sampler sampler, Inputs inputs, FrameHub& hub, HistoryEngine& history,
                       Clock& clock)
    : sampler_(std::move(sampler)),
      inputs_(std::move(inputs)),
      hub_(hub),
      history_(history),
      clock_(clock),
      sampling_([this] { SampleEverySecond(); }),
      flushing_([this] { FlushNowAndThen(); }) {}

SampleLoop::~SampleLoop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  sampling_.join();
  flushing_.join();
  absl::Status flushed = history_.Flush(true);
  if (!flushed.ok()) {
    Log(LogLevel::kError, "history not written", {{"why", std::string(flushed.message())}});
  }
}

bool SampleLoop::WaitOrStop(absl::Duration time) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&stopping_), time);
}

void SampleLoop::SampleEverySecond() {
  do {
    // Up to a millisecond early still belongs to the second that begins.
    absl::Time now = clock_.Now() + absl::Milliseconds(1);
    auto containers = inputs_.containers();
    auto frame = std::make_shared<SampledFrame>(sampler_.Sample(now, Monotonic(), *containers));
    std::optional<absl::Time> missing = inputs_.runtime_missing_since();
    if (missing) SetRuntimeMissing(*frame, *missing);
    history_.Add(*frame);
    hub_.Publish(std::move(frame));
  } while (!WaitOrStop(UntilNextSecond(clock_.Now())));
}

void SampleLoop::FlushNowAndThen() {
  for (int n = 1; !WaitOrStop(kFlushEvery); ++n) {
    bool all = n % kAllEvery == 0;
    absl::Status done = history_.Flush(all);
    if (done.ok() && all) done = history_.Trim();
    if (!done.ok()) {
      Log(LogLevel::kError, "history not written", {{"why", std::string(done.message())}});
    }
  }
}

}  // namespace darse::metrics
