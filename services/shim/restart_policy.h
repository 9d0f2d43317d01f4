// When a process that exited is started again, and after how long. Pure.
//
// The back-off starts at `delay_ms`, doubles up to a minute (or stays where it began, if that is
// longer), and starts over once a run lasted ten seconds. Each delay is stretched by up to a fifth,
// so that containers that fell together do not rise together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace darse::shim {

enum class RestartKind : uint8_t { kNo = 0, kOnFailure = 1, kAlways = 2, kUnlessStopped = 3 };

inline constexpr int64_t kLongestRestartDelayMs = 86'400'000;

struct RestartPolicy {
  RestartKind kind = RestartKind::kNo;
  int32_t max_retries = 0;  // 0: no maximum
  // At most max_retries restarts in any time of this length. 0: at most so many in a row, which a
  // run of ten seconds ends.
  int64_t window_ms = 0;
  int64_t delay_ms = 100;

  bool operator==(const RestartPolicy&) const = default;
};

struct RestartHistory {
  int32_t restart_count = 0;            // restarts done by the policy since the shim began
  int32_t retries_used = 0;             // of max_retries without a window
  std::vector<int64_t> restarts_at_ms;  // those within the window, the oldest first
  int32_t failures_in_a_row = 0;        // exits without a run of ten seconds between them
};

struct RestartDecision {
  bool restart = false;
  int64_t delay_ms = 0;

  bool operator==(const RestartDecision&) const = default;
};

struct Exit {
  int32_t code = 0;
  bool stopped = false;  // by request: never restarted
  int64_t ran_ms = 0;
  int64_t at_ms = 0;  // of a clock that only runs forward
};

// `random` is any number; it chooses the jitter. Updates `history` as if the decision were carried
// out.
RestartDecision DecideRestart(const RestartPolicy& policy, const Exit& exit, uint32_t random,
                              RestartHistory& history);

}  // namespace darse::shim
