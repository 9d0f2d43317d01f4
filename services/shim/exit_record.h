// What the shim writes down about each exit, before it tells anyone.
//
// `<state>/exits` holds one JSON object a line, appended and, unless the container is transient
// (shim_config.h), synced:
//   {"sequence":3,"time_ns":1700000000123456789,"started_ns":1700000000000000000,"pid":4711,
//    "exit_code":137,"signal":9,"oom_killed":true,"stopped":false,"final":false,
//    "restart_delay_ms":200,"restart_count":1,"error":""}
// Sequences start at 1 and go on over restarts and over shims of the same container: a reader that
// remembers the last one it handled misses nothing and handles nothing twice. A torn last line
// (power cut) is no record; the next shim cuts it off.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::shim {

struct ExitRecord {
  uint64_t sequence = 0;
  int64_t time_ns = 0;     // of the exit, since the epoch
  int64_t started_ns = 0;  // of the process that exited
  int64_t pid = 0;         // 0: nothing ran (a restart failed, or a stop ended the back-off)
  int32_t exit_code = 0;   // 128 + signal for a death by signal
  int32_t signal = 0;
  bool oom_killed = false;
  bool stopped = false;  // asked for by a stop, shutdown or SIGKILL request
  bool final = false;    // the shim ends after this one; otherwise it starts the process again
  int64_t restart_delay_ms = 0;  // how long it waits before that
  int32_t restart_count = 0;     // restarts done by the policy so far
  std::string error;             // why a restart failed, as a sentence

  bool operator==(const ExitRecord&) const = default;
};

// One line with its newline.
std::string EncodeExitRecord(const ExitRecord& record);
absl::StatusOr<ExitRecord> DecodeExitRecord(absl::string_view line);

struct ExitJournal {
  std::vector<ExitRecord> records;
  uint64_t complete_bytes = 0;  // length of the part that is whole lines
};
// All records of an `exits` file. A torn last line is left out; any other damage is DATA_LOSS.
absl::StatusOr<ExitJournal> DecodeExitJournal(absl::string_view content);

}  // namespace darse::shim
