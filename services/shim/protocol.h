// What the runtime and a shim say to each other over `<run>/shim.sock` (SOCK_SEQPACKET: one message
// a packet, at most kMaxPacket bytes, fds beside it) and over the report fd, which is such a
// connection too.
//
// Life of a shim
//   The runtime writes <run>/config.json and <run>/shim.json, and spawns
//     darse-shim --state <state> --run <run> --report-fd N [--attach-stdin N] [--attach-stdout N]
//                [--attach-stderr N]
//   The shim detaches, takes a lock on <run>/shim.lock (a predecessor may still be tidying up),
//   writes <run>/shim.pid ("<pid> <start time, field 22 of /proc/<pid>/stat>\n"), listens on
//   <run>/shim.sock and starts the process. The report fd is its first subscriber and hears
//   kStarted once exec has succeeded, or kFailed and it ends (no exit record is written then:
//   nothing ran). The attach fds are the first attacher's stdio, so that not even the first
//   byte is missed; their end does not end the container's stdin (see kCloseStdin). After the final
//   exit (see exit_record.h) it writes the record, tells the subscribers, removes the container's
//   cgroup, shim.sock and shim.pid, and ends. EOF on a connection without a final kExited means:
//   look into <state>/exits, else the shim was killed (then the container was not: its init lives
//   on as an orphan, see README.md).
//
// Requests (client -> shim); each is answered by one message with the same request_id
//   kGetState                                  -> kState
//   kSubscribe   events from here on           -> kState, then kStarted, kExited, kRestarted, kOom,
//   kExecExited kSignal      signal to init                -> kDone; ESRCH when it does not run.
//   SIGKILL counts as a stop kStop        as kSignal, and no restart after this exit; signal 0: the
//   stop_signal of shim.json.
//                During a back-off: the final record is written at once       -> kDone
//   kShutdown    SIGKILL to every process of the cgroup, no restart           -> kDone
//   kExec        exec_id, fds = [process JSON, then stdio as `stdio` says]; stdio not passed is
//   /dev/null.
//                With process.terminal no stdio is passed and the answer carries the terminal's
//                master: the caller reads, writes and resizes it itself.              -> kStarted
//                or kFailed
//   kResize      columns, rows of the container's terminal                    -> kDone
//   kAttach      fds = stdio as `stdio` says: the shim reads stdin from and copies output to them.
//                end_stdin: the end of that stdin is the end of the container's.   -> kDone
//   kCloseStdin  the container reads end-of-file                              -> kDone
//   kUpdateRestart  restart policy, from the next exit on                     -> kDone
// A request that cannot be served is answered by kFailed with an errno and a sentence.
//
// A client that does not read its messages is disconnected when 256 of them wait; an attacher that
// takes nothing for two seconds while its pipe is full is dropped (kAttachDropped to the
// subscribers). Until then the container's output waits for it, so a merely slow reader loses
// nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/shim/exit_record.h"
#include "services/shim/restart_policy.h"

namespace darse::shim {

inline constexpr size_t kMaxPacket = 16 << 10;
inline constexpr size_t kMaxFds = 4;

enum class RequestKind : uint8_t {
  kGetState = 1,
  kSubscribe = 2,
  kSignal = 3,
  kStop = 4,
  kShutdown = 5,
  kExec = 6,
  kResize = 7,
  kAttach = 8,
  kCloseStdin = 9,
  kUpdateRestart = 10,
};

// Bits of Request::stdio, in the order of the fds passed.
inline constexpr uint32_t kStdin = 1, kStdout = 2, kStderr = 4;

struct Request {
  RequestKind kind = RequestKind::kGetState;
  uint64_t id = 0;  // chosen by the client, echoed in the answer; not 0
  int32_t signal = 0;
  std::string exec_id;
  uint32_t stdio = 0;
  bool end_stdin = false;
  uint32_t columns = 0;
  uint32_t rows = 0;
  RestartPolicy restart;

  bool operator==(const Request&) const = default;
};

enum class MessageKind : uint8_t {
  kDone = 1,           // answer
  kFailed = 2,         // answer, report
  kState = 3,          // answer
  kStarted = 4,        // answer to kExec, report
  kExited = 5,         // event: the record was written; `exit`
  kRestarted = 6,      // event: pid, started_ns, restart_count
  kOom = 7,            // event: the kernel killed a process of the container for memory
  kExecExited = 8,     // event: exec_id, exit.exit_code, exit.signal, exit.pid
  kAttachDropped = 9,  // event: an attacher was too slow
};

enum class State : uint8_t { kStarting = 1, kRunning = 2, kRestarting = 3, kExited = 4 };

// Why something could not be done. `reason` is COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE or empty.
struct Failure {
  std::string step;   // "mount", "exec", …: see libs/container/failure.h
  int32_t error = 0;  // errno, 0 where there is none
  std::string reason;
  std::string message;  // a whole sentence: exec "pyton3": not found in PATH

  bool operator==(const Failure&) const = default;
};

struct Message {
  MessageKind kind = MessageKind::kDone;
  uint64_t request_id = 0;  // 0 in events and in the report
  Failure failure;
  State state = State::kStarting;
  int64_t pid = 0;  // as the shim sees it
  int64_t started_ns = 0;
  int32_t restart_count = 0;
  std::string exec_id;
  ExitRecord exit;  // in kState: the newest, sequence 0 if there was none
  // In kStarted: things done otherwise than asked, as sentences.
  std::vector<std::string> warnings;

  bool operator==(const Message&) const = default;
};

std::string EncodeRequest(const Request& request);
std::string EncodeMessage(const Message& message);
// INVALID_ARGUMENT for what is not of this format; a field that is missing has its default value.
absl::StatusOr<Request> DecodeRequest(absl::string_view packet);
absl::StatusOr<Message> DecodeMessage(absl::string_view packet);

}  // namespace darse::shim
