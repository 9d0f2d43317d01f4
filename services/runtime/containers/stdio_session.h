// One attacher's or one exec's stdin, stdout and stderr, as somebody far away sees them: output is
// pulled, input is pushed, and `wake` says when to try again. Holds no thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/unique_fd.h"
#include "services/runtime/shims/io_loop.h"

namespace darse::runtime {

struct StdioEnds {
  // Our ends, non-blocking; invalid where there is none. A terminal's master is `out`, and a
  // duplicate of it `in`.
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
};

struct StdioOutput {
  enum class Kind { kNothing, kStdout, kStderr, kExit };
  Kind kind = Kind::kNothing;
  std::string bytes;
  int exit_code = 0;
};

// Thread-safe. Held by shared_ptr; Close() before the last one goes.
class StdioSession : public std::enable_shared_from_this<StdioSession> {
 public:
  struct Options {
    bool terminal = false;
    // What is left in the pipes at the exit is all there is, even if somebody else still holds
    // their other ends (an exec's children). Otherwise their end is awaited (an attacher of the
    // shim's).
    bool ends_at_exit = false;
    // Called when the last input was taken from the pipe and its end closed; must not call the
    // session.
    std::function<void()> input_drained;
  };
  StdioSession(IoLoop& loop, Options options, std::function<void()> wake);
  ~StdioSession();

  // Once, before or after the others are called.
  void Open(StdioEnds ends);
  // Nothing is read or written any more; descriptors are closed.
  void Close();

  // What comes next; kNothing: wait for `wake`; kExit is the last. An error ends the session too.
  absl::StatusOr<StdioOutput> Read();
  // False while enough input waits to be taken: call Write again after `wake`.
  bool WantsInput();
  void Write(absl::string_view bytes);
  // After what was written.
  void CloseInput();

  // Of a terminal whose master this session has.
  absl::Status Resize(uint32_t columns, uint32_t rows);

  // The process ended; Read answers kExit after the rest of its output.
  void SetExit(int code);
  // There will be no exit to wait for.
  void SetError(absl::Status error);

 private:
  std::optional<std::string> ReadFrom(UniqueFd& fd, uint64_t& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Drop(UniqueFd& fd, uint64_t& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FinishInput() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t Register(int fd, bool input);

  IoLoop& loop_;
  const Options options_;
  const std::function<void()> wake_;
  absl::Mutex mu_;
  StdioEnds ends_ ABSL_GUARDED_BY(mu_);
  uint64_t in_key_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t out_key_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t err_key_ ABSL_GUARDED_BY(mu_) = 0;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool err_first_ ABSL_GUARDED_BY(mu_) = false;
  std::string input_ ABSL_GUARDED_BY(mu_);
  bool input_ends_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<int> exit_code_ ABSL_GUARDED_BY(mu_);
  absl::Status error_ ABSL_GUARDED_BY(mu_);
};

// An exec or an attachment. Close() its stdio, or let it go: the process stays.
struct ProcessStream {
  std::shared_ptr<StdioSession> stdio;
  // Of the exec, on the host; 0 for an attachment.
  int64_t pid = 0;
  std::function<absl::Status(uint32_t columns, uint32_t rows)> resize;
  std::function<absl::Status(int signal)> signal;
};

}  // namespace darse::runtime
