#include "services/shim/restart_policy.h"

#include <algorithm>

namespace darse::shim {
namespace {

constexpr int64_t kLongestDelayMs = 60'000;
constexpr int64_t kGoodRunMs = 10'000;

bool Wanted(const RestartPolicy& policy, const Exit& exit) {
  if (exit.stopped) return false;
  switch (policy.kind) {
    case RestartKind::kNo:
      return false;
    case RestartKind::kOnFailure:
      return exit.code != 0;
    case RestartKind::kAlways:
    case RestartKind::kUnlessStopped:
      return true;
  }
  return false;
}

// Whether the maximum allows one more, which is counted then.
bool Allowed(const RestartPolicy& policy, const Exit& exit, RestartHistory& history) {
  if (policy.max_retries == 0) return true;
  if (policy.window_ms == 0) {
    if (history.retries_used >= policy.max_retries) return false;
    history.retries_used++;
    return true;
  }
  std::vector<int64_t>& restarts = history.restarts_at_ms;
  std::erase_if(restarts, [&](int64_t at) { return at <= exit.at_ms - policy.window_ms; });
  if (restarts.size() >= static_cast<size_t>(policy.max_retries)) return false;
  restarts.push_back(exit.at_ms);
  return true;
}

}  // namespace

RestartDecision DecideRestart(const RestartPolicy& policy, const Exit& exit, uint32_t random,
                              RestartHistory& history) {
  // A good run forgives what was before it: the back-off and the retries used up.
  if (exit.ran_ms >= kGoodRunMs) {
    history.failures_in_a_row = 0;
    history.retries_used = 0;
  }
  if (!Wanted(policy, exit) || !Allowed(policy, exit, history)) return {};
  int64_t delay = policy.delay_ms << std::min(history.failures_in_a_row, 16);
  delay = std::min(delay, std::max(kLongestDelayMs, policy.delay_ms));
  delay += static_cast<int64_t>(random) * (delay / 5) / UINT32_MAX;
  history.failures_in_a_row++;
  history.restart_count++;
  return {.restart = true, .delay_ms = delay};
}

}  // namespace darse::shim
