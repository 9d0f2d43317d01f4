#include "services/shim/stdio_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "libs/base/monotonic.h"
#include "libs/base/syscall_error.h"

namespace darse::shim {
namespace {

constexpr int64_t kPatienceMs = 2000;
// Room for a burst while the shim is not running; kernel memory, only used when needed.
constexpr int kPipeSize = 256 << 10;
constexpr int kPiecesAnEvent = 16;

void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

absl::Status MakePipe(UniqueFd& read_end, UniqueFd& write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return SyscallError(errno, "pipe");
  read_end.Reset(ends[0]);
  write_end.Reset(ends[1]);
  return absl::OkStatus();
}

}  // namespace

StdioRelay::~StdioRelay() {
  while (!attachers_.empty()) Forget(attachers_.begin());
  DropSources();
}

void StdioRelay::DropSources() {
  for (int stream = 0; stream < 2; ++stream) {
    if (outputs_[stream].valid()) poller_.Remove(outputs_[stream].get());
    outputs_[stream].Reset();
    sources_ended_[stream] = false;
  }
  if (terminal_.valid()) poller_.Remove(terminal_.get());
  terminal_.Reset();
  if (stdin_.valid()) poller_.Remove(stdin_.get());
  stdin_.Reset();
  stdin_pending_.clear();
  stdin_ends_ = false;
}

absl::Status StdioRelay::Prepare(bool stdin_open) {
  DropSources();
  if (stdin_open) {
    absl::Status made = MakePipe(child_ends_[0], stdin_);
    if (!made.ok()) return made;
    SetNonBlocking(stdin_.get());
    poller_.Add(stdin_.get(), 0, [this](uint32_t) { WriteStdin(); });
  }
  for (int stream = 0; stream < 2; ++stream) {
    absl::Status made = MakePipe(outputs_[stream], child_ends_[stream + 1]);
    if (!made.ok()) return made;
    fcntl(outputs_[stream].get(), F_SETPIPE_SZ, kPipeSize);
    SetNonBlocking(outputs_[stream].get());
    LogStream name = static_cast<LogStream>(stream);
    poller_.Add(outputs_[stream].get(), paused_ ? 0u : EPOLLIN,
                [this, name](uint32_t) { OnOutput(name); });
  }
  return absl::OkStatus();
}

void StdioRelay::CloseChildEnds() {
  for (UniqueFd& end : child_ends_) end.Reset();
}

void StdioRelay::UseTerminal(UniqueFd master) {
  // What was typed ahead goes to the terminal.
  std::string typed = std::move(stdin_pending_);
  DropSources();
  stdin_pending_ = std::move(typed);
  terminal_ = std::move(master);
  SetNonBlocking(terminal_.get());
  poller_.Add(terminal_.get(), EPOLLIN, [this](uint32_t events) {
    if (events & EPOLLOUT) WriteStdin();
    if (events & ~EPOLLOUT) OnOutput(LogStream::kStdout);
  });
  Arm();
  WriteStdin();
}

absl::Status StdioRelay::Resize(uint32_t columns, uint32_t rows) {
  if (!terminal_.valid())
    return absl::FailedPreconditionError("resize: the container has no terminal");
  winsize size = {.ws_row = static_cast<unsigned short>(rows),
                  .ws_col = static_cast<unsigned short>(columns)};
  if (ioctl(terminal_.get(), TIOCSWINSZ, &size) < 0) return SyscallError(errno, "resize");
  return absl::OkStatus();
}

void StdioRelay::Attach(UniqueFd in, UniqueFd out, UniqueFd err, bool end_stdin) {
  Attachers::iterator attacher = attachers_.emplace(attachers_.end());
  attacher->in = std::move(in);
  attacher->out[0] = std::move(out);
  attacher->out[1] = std::move(err);
  attacher->end_stdin = end_stdin;
  for (int stream = 0; stream < 2; ++stream) {
    if (!attacher->out[stream].valid()) continue;
    SetNonBlocking(attacher->out[stream].get());
    poller_.Add(attacher->out[stream].get(), 0, [this, attacher, stream](uint32_t events) {
      OnAttacherWritable(attacher, stream, events);
    });
  }
  if (attacher->in.valid()) {
    SetNonBlocking(attacher->in.get());
    poller_.Add(attacher->in.get(), EPOLLIN,
                [this, attacher](uint32_t) { OnAttacherInput(attacher); });
  }
}

void StdioRelay::CloseOut(Attacher& attacher, int stream) {
  if (attacher.out[stream].valid()) poller_.Remove(attacher.out[stream].get());
  attacher.out[stream].Reset();
  attacher.pending[stream].clear();
}

void StdioRelay::CloseIn(Attacher& attacher) {
  if (attacher.in.valid()) poller_.Remove(attacher.in.get());
  attacher.in.Reset();
}

void StdioRelay::Forget(Attachers::iterator attacher) {
  CloseIn(*attacher);
  for (int stream = 0; stream < 2; ++stream) CloseOut(*attacher, stream);
  attachers_.erase(attacher);
}

void StdioRelay::OnOutput(LogStream stream) {
  for (int i = 0; i < kPiecesAnEvent && !paused_; ++i) {
    if (!ReadOnce(stream, /*draining=*/false)) break;
  }
  log_.Flush();
}

bool StdioRelay::ReadOnce(LogStream stream, bool draining) {
  int number = static_cast<int>(stream);
  int fd = source(number);
  if (fd < 0 || sources_ended_[number]) return false;
  if (piece_ == nullptr) piece_.reset(new char[kPiece]);
  ssize_t got = read(fd, piece_.get(), kPiece);
  if (got < 0 && errno == EINTR) return true;
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0) {
    // Nobody writes any more (a terminal says EIO): waiting would only spin.
    sources_ended_[number] = true;
    if (terminal_.valid()) sources_ended_[1] = true;
    poller_.Remove(fd);
    return false;
  }
  log_.Write(stream, absl::string_view(piece_.get(), static_cast<size_t>(got)), WallNs());
  for (Attacher& attacher : attachers_)
    Deliver(attacher, number, piece_.get(), static_cast<size_t>(got));
  if (!draining && Stalled()) {
    paused_ = true;
    Arm();
    return false;
  }
  return true;
}

void StdioRelay::Deliver(Attacher& attacher, int stream, const char* data, size_t size) {
  int fd = attacher.out[stream].get();
  if (fd < 0) return;
  size_t done = 0;
  while (attacher.pending[stream].empty() && done < size) {
    ssize_t wrote = write(fd, data + done, size - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno != EAGAIN) return CloseOut(attacher, stream);
    if (wrote < 0) break;
    done += static_cast<size_t>(wrote);
  }
  if (done == size) return;
  if (attacher.pending[0].empty() && attacher.pending[1].empty()) {
    attacher.stalled_since_ms = MonotonicMs();
  }
  attacher.pending[stream].append(data + done, size - done);
  poller_.Change(fd, EPOLLOUT);
}

void StdioRelay::OnAttacherWritable(Attachers::iterator attacher, int stream, uint32_t events) {
  std::string& pending = attacher->pending[stream];
  int fd = attacher->out[stream].get();
  bool gone = (events & EPOLLERR) != 0;
  while (!gone && !pending.empty()) {
    ssize_t wrote = write(fd, pending.data(), pending.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      gone = errno != EAGAIN;
      break;
    }
    pending.erase(0, static_cast<size_t>(wrote));
    attacher->stalled_since_ms = MonotonicMs();
  }
  if (gone) {
    CloseOut(*attacher, stream);
    bool nothing_left =
        !attacher->out[0].valid() && !attacher->out[1].valid() && !attacher->in.valid();
    if (nothing_left) Forget(attacher);
  } else if (pending.empty()) {
    poller_.Change(fd, 0);
    pending.shrink_to_fit();
  }
  if (paused_ && !Stalled()) {
    paused_ = false;
    Arm();
  }
}

bool StdioRelay::Stalled() const { return HasUndelivered(); }

bool StdioRelay::HasUndelivered() const {
  return std::any_of(attachers_.begin(), attachers_.end(), [](const Attacher& attacher) {
    return !attacher.pending[0].empty() || !attacher.pending[1].empty();
  });
}

void StdioRelay::DropAttachers() {
  while (!attachers_.empty()) Forget(attachers_.begin());
}

// What the sources are waited for.
void StdioRelay::Arm() {
  uint32_t reading = paused_ ? 0 : static_cast<uint32_t>(EPOLLIN);
  uint32_t writing = stdin_pending_.empty() ? 0 : static_cast<uint32_t>(EPOLLOUT);
  if (terminal_.valid()) {
    if (!sources_ended_[0]) poller_.Change(terminal_.get(), reading | writing);
    return;
  }
  for (int stream = 0; stream < 2; ++stream) {
    if (outputs_[stream].valid() && !sources_ended_[stream]) {
      poller_.Change(outputs_[stream].get(), reading);
    }
  }
  if (stdin_.valid()) poller_.Change(stdin_.get(), writing);
}

void StdioRelay::OnAttacherInput(Attachers::iterator attacher) {
  // One piece in flight at a time: who types faster than the container reads waits in his own pipe.
  if (!stdin_pending_.empty()) {
    poller_.Change(attacher->in.get(), 0);
    return;
  }
  char typed[1024];
  ssize_t got = read(attacher->in.get(), typed, sizeof(typed));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    bool end = attacher->end_stdin;
    CloseIn(*attacher);
    if (!attacher->out[0].valid() && !attacher->out[1].valid()) Forget(attacher);
    if (end) CloseStdin();
    return;
  }
  stdin_pending_.assign(typed, static_cast<size_t>(got));
  WriteStdin();
}

void StdioRelay::WriteStdin() {
  int fd = sink();
  while (fd >= 0 && !stdin_pending_.empty()) {
    ssize_t wrote = write(fd, stdin_pending_.data(), stdin_pending_.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) break;
    if (wrote < 0) {
      // Nobody reads: the container closed its stdin.
      stdin_pending_.clear();
      if (!terminal_.valid()) stdin_ends_ = true;
      break;
    }
    stdin_pending_.erase(0, static_cast<size_t>(wrote));
  }
  if (fd < 0) stdin_pending_.clear();
  if (stdin_pending_.empty()) {
    for (Attacher& attacher : attachers_) {
      if (attacher.in.valid()) poller_.Change(attacher.in.get(), EPOLLIN);
    }
    if (stdin_ends_ && stdin_.valid()) {
      poller_.Remove(stdin_.get());
      stdin_.Reset();
    }
  }
  Arm();
}

void StdioRelay::CloseStdin() {
  if (terminal_.valid()) {
    // What Ctrl-D is to a terminal.
    stdin_pending_.push_back('\x04');
  } else {
    stdin_ends_ = true;
  }
  WriteStdin();
}

void StdioRelay::Drain(bool restarts) {
  for (LogStream stream : {LogStream::kStdout, LogStream::kStderr}) {
    if (terminal_.valid() && stream == LogStream::kStderr) continue;
    while (ReadOnce(stream, /*draining=*/true)) {
    }
    log_.EndLine(stream, WallNs(), restarts);
  }
  log_.Flush();
  if (!paused_ && Stalled()) paused_ = true;
  Arm();
}

int StdioRelay::TimeoutMs() const {
  int64_t earliest = -1;
  for (const Attacher& attacher : attachers_) {
    if (attacher.pending[0].empty() && attacher.pending[1].empty()) continue;
    int64_t left = std::max<int64_t>(attacher.stalled_since_ms + kPatienceMs - MonotonicMs(), 0);
    if (earliest < 0 || left < earliest) earliest = left;
  }
  return static_cast<int>(earliest);
}

void StdioRelay::DropStalled() {
  int64_t now = MonotonicMs();
  for (Attachers::iterator attacher = attachers_.begin(); attacher != attachers_.end();) {
    Attachers::iterator next = std::next(attacher);
    bool waits = !attacher->pending[0].empty() || !attacher->pending[1].empty();
    if (waits && now - attacher->stalled_since_ms >= kPatienceMs) {
      Forget(attacher);
      on_dropped_();
    }
    attacher = next;
  }
  if (paused_ && !Stalled()) {
    paused_ = false;
    Arm();
  }
}

}  // namespace darse::shim
