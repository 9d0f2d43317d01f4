// The container's stdin, stdout and stderr: output goes to the log and to every attacher, an
// attacher's input goes to the container.
//
// Nobody is waited for but in one way: while an attacher's pipe is full, no more output is read,
// for at most two seconds without progress; then that attacher is dropped. The log never waits for
// attachers that do not exist, and the container never for a log.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "libs/base/unique_fd.h"
#include "services/shim/log_writer.h"
#include "services/shim/poller.h"

namespace darse::shim {

// One thread only.
class StdioRelay {
 public:
  StdioRelay(Poller& poller, LogWriter& log, std::function<void()> on_dropped)
      : poller_(poller), log_(log), on_dropped_(std::move(on_dropped)) {}
  ~StdioRelay();

  // New pipes for a start. The container's ends are valid until the next call of CloseChildEnds.
  absl::Status Prepare(bool stdin_open);
  int child_end(int fd) const { return child_ends_[fd].get(); }
  void CloseChildEnds();
  // Instead of the pipes.
  void UseTerminal(UniqueFd master);
  bool has_terminal() const { return terminal_.valid(); }
  absl::Status Resize(uint32_t columns, uint32_t rows);

  // Unset fds are no part of it.
  void Attach(UniqueFd in, UniqueFd out, UniqueFd err, bool end_stdin);
  void CloseStdin();

  // After the process has ended: reads what is left without waiting for anyone. `restarts`: a line
  // without end is ended, for the next process's output to begin on its own.
  void Drain(bool restarts);
  // Milliseconds until an attacher is to be dropped; -1: never.
  int TimeoutMs() const;
  void DropStalled();
  bool HasUndelivered() const;
  // They read the end of their output.
  void DropAttachers();
  // Until output comes again.
  void ReleaseBuffer() { piece_.reset(); }

 private:
  struct Attacher {
    UniqueFd in;
    UniqueFd out[2];
    bool end_stdin = false;
    std::string pending[2];
    int64_t stalled_since_ms = 0;
  };
  using Attachers = std::list<Attacher>;

  void OnOutput(LogStream stream);
  // False when nothing more is at hand, or an attacher must catch up first.
  bool ReadOnce(LogStream stream, bool draining);
  void Deliver(Attacher& attacher, int stream, const char* data, size_t size);
  void OnAttacherWritable(Attachers::iterator attacher, int stream, uint32_t events);
  void OnAttacherInput(Attachers::iterator attacher);
  void WriteStdin();
  void Forget(Attachers::iterator attacher);
  void CloseOut(Attacher& attacher, int stream);
  void CloseIn(Attacher& attacher);
  bool Stalled() const;
  void Arm();
  int source(int stream) const {
    return terminal_.valid() ? terminal_.get() : outputs_[stream].get();
  }
  int sink() const { return terminal_.valid() ? terminal_.get() : stdin_.get(); }
  void DropSources();

  static constexpr size_t kPiece = 8 << 10;

  Poller& poller_;
  LogWriter& log_;
  const std::function<void()> on_dropped_;
  UniqueFd child_ends_[3];
  UniqueFd stdin_;
  UniqueFd outputs_[2];
  UniqueFd terminal_;
  bool paused_ = false;         // output is not read: an attacher must catch up
  bool sources_ended_[2] = {};  // end-of-file or hang-up was read
  std::string stdin_pending_;
  bool stdin_ends_ = false;  // once stdin_pending_ is written
  Attachers attachers_;
  std::unique_ptr<char[]> piece_;
};

}  // namespace darse::shim
