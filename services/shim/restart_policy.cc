#include "services/shim/restart_policy.h"

#include <algorithm>

namespace darse::shim {
namespace {

constexpr int64_t kFirstDelayMs = 100;
constexpr int64_t kLongestDelayMs = 60'000;
constexpr int64_t kGoodRunMs = 10'000;

bool Wanted(const RestartPolicy& policy, const Exit& exit, int32_t restart_count) {
  if (exit.stopped) return false;
  switch (policy.kind) {
    case RestartKind::kNo:
      return false;
    case RestartKind::kOnFailure:
      return exit.code != 0 && (policy.max_retries == 0 || restart_count < policy.max_retries);
    case RestartKind::kAlways:
    case RestartKind::kUnlessStopped:
      return true;
  }
  return false;
}

}  // namespace

RestartDecision DecideRestart(const RestartPolicy& policy, const Exit& exit, uint32_t random,
                              RestartHistory& history) {
  // A good run forgives what was before it: the back-off and the retries used up.
  if (exit.ran_ms >= kGoodRunMs) {
    history.failures_in_a_row = 0;
    history.retries_used = 0;
  }
  if (!Wanted(policy, exit, history.retries_used)) return {};
  int64_t delay = kFirstDelayMs << std::min(history.failures_in_a_row, 16);
  delay = std::min(delay, kLongestDelayMs);
  delay += static_cast<int64_t>(random) * (delay / 5) / UINT32_MAX;
  history.failures_in_a_row++;
  history.retries_used++;
  history.restart_count++;
  return {.restart = true, .delay_ms = delay};
}

}  // namespace darse::shim
