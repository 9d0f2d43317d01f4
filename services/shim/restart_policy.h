// When a process that exited is started again, and after how long. Pure.
//
// The back-off starts at 100 ms, doubles up to a minute, and starts over once a run lasted ten
// seconds. Each delay is stretched by up to a fifth, so that containers that fell together do not
// rise together.
#pragma once

#include <cstdint>
#include <string>

namespace darse::shim {

enum class RestartKind : uint8_t { kNo = 0, kOnFailure = 1, kAlways = 2, kUnlessStopped = 3 };

struct RestartPolicy {
  RestartKind kind = RestartKind::kNo;
  int32_t max_retries = 0;  // for kOnFailure; 0: no maximum

  bool operator==(const RestartPolicy&) const = default;
};

struct RestartHistory {
  int32_t restart_count = 0;      // restarts done by the policy since the shim began
  int32_t retries_used = 0;       // of max_retries; a run of ten seconds gives them back
  int32_t failures_in_a_row = 0;  // exits without a run of ten seconds between them
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
};

// `random` is any number; it chooses the jitter. Updates `history` as if the decision were carried
// out.
RestartDecision DecideRestart(const RestartPolicy& policy, const Exit& exit, uint32_t random,
                              RestartHistory& history);

}  // namespace darse::shim
