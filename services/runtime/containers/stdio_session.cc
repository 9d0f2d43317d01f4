#include "services/runtime/containers/stdio_session.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace darse::runtime {
namespace {

constexpr size_t kReadAtOnce = 32 << 10;
// Beyond this the client is asked to wait.
constexpr size_t kMaxInput = 64 << 10;
// Ctrl-D, which a terminal reads as the end of input.
constexpr char kEndOfInput = 4;

}  // namespace

StdioSession::StdioSession(IoLoop& loop, Options options, std::function<void()> wake)
    : loop_(loop), options_(std::move(options)), wake_(std::move(wake)) {}

StdioSession::~StdioSession() { Close(); }

uint64_t StdioSession::Register(int fd, bool input) {
  if (fd < 0) return 0;
  std::weak_ptr<StdioSession> weak = weak_from_this();
  return loop_.Add(fd, [weak, input] {
    std::shared_ptr<StdioSession> session = weak.lock();
    if (session == nullptr) return;
    if (input) {
      absl::MutexLock lock(&session->mu_);
      session->Flush();
    }
    session->wake_();
  });
}

void StdioSession::Open(StdioEnds ends) {
  uint64_t in_key = Register(ends.in.get(), true);
  uint64_t out_key = Register(ends.out.get(), false);
  uint64_t err_key = Register(ends.err.get(), false);
  {
    absl::MutexLock lock(&mu_);
    ends_ = std::move(ends);
    in_key_ = in_key;
    out_key_ = out_key;
    err_key_ = err_key;
    open_ = true;
    Flush();
  }
  wake_();
}

void StdioSession::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  Drop(ends_.in, in_key_);
  Drop(ends_.out, out_key_);
  Drop(ends_.err, err_key_);
}

void StdioSession::Drop(UniqueFd& fd, uint64_t& key) {
  loop_.Forget(std::exchange(key, 0));
  fd.Reset();
}

std::optional<std::string> StdioSession::ReadFrom(UniqueFd& fd, uint64_t& key) {
  if (!fd.valid()) return std::nullopt;
  std::string bytes(kReadAtOnce, '\0');
  ssize_t got;
  do {
    got = read(fd.get(), bytes.data(), bytes.size());
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    bytes.resize(static_cast<size_t>(got));
    return bytes;
  }
  if (got < 0 && errno == EAGAIN) {
    if (!exit_code_ || !options_.ends_at_exit) {
      loop_.Arm(key, EPOLLIN);
      return std::nullopt;
    }
  }
  // The end; of a terminal's master it is EIO.
  Drop(fd, key);
  return std::nullopt;
}

absl::StatusOr<StdioOutput> StdioSession::Read() {
  absl::MutexLock lock(&mu_);
  if (!error_.ok()) return error_;
  if (closed_) return absl::CancelledError("the session is closed");
  if (!open_) return StdioOutput{};
  err_first_ = !err_first_;
  for (bool err : {err_first_, !err_first_}) {
    std::optional<std::string> bytes =
        err ? ReadFrom(ends_.err, err_key_) : ReadFrom(ends_.out, out_key_);
    if (!bytes) continue;
    return StdioOutput{.kind = err ? StdioOutput::Kind::kStderr : StdioOutput::Kind::kStdout,
                       .bytes = *std::move(bytes)};
  }
  if (exit_code_ && !ends_.out.valid() && !ends_.err.valid()) {
    return StdioOutput{.kind = StdioOutput::Kind::kExit, .exit_code = *exit_code_};
  }
  return StdioOutput{};
}

bool StdioSession::WantsInput() {
  absl::MutexLock lock(&mu_);
  return input_.size() < kMaxInput;
}

void StdioSession::Write(absl::string_view bytes) {
  absl::MutexLock lock(&mu_);
  // Nobody reads it any more, or ever did: as a write to a closed pipe.
  if (closed_ || input_ends_ || (open_ && !ends_.in.valid())) return;
  input_.append(bytes.data(), bytes.size());
  Flush();
}

void StdioSession::CloseInput() {
  absl::MutexLock lock(&mu_);
  if (closed_ || input_ends_) return;
  input_ends_ = true;
  if (options_.terminal && options_.ends_at_exit) input_.push_back(kEndOfInput);
  Flush();
}

void StdioSession::Flush() {
  if (!open_ || closed_ || !ends_.in.valid()) return;
  size_t done = 0;
  while (done < input_.size()) {
    ssize_t written = write(ends_.in.get(), input_.data() + done, input_.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) break;
    if (written < 0) {
      // The reader is gone.
      input_.clear();
      Drop(ends_.in, in_key_);
      return;
    }
    done += static_cast<size_t>(written);
  }
  input_.erase(0, done);
  if (!input_.empty()) {
    loop_.Arm(in_key_, EPOLLOUT);
  } else if (input_ends_) {
    FinishInput();
  }
}

void StdioSession::FinishInput() {
  if (options_.terminal && options_.ends_at_exit) return;
  if (!options_.input_drained) {
    Drop(ends_.in, in_key_);
    return;
  }
  // What is still in the pipe would be lost if the shim closed the container's stdin now.
  int waiting = 0;
  if (ioctl(ends_.in.get(), FIONREAD, &waiting) == 0 && waiting > 0) {
    std::weak_ptr<StdioSession> weak = weak_from_this();
    loop_.After(absl::Milliseconds(2), [weak] {
      std::shared_ptr<StdioSession> session = weak.lock();
      if (session == nullptr) return;
      absl::MutexLock lock(&session->mu_);
      session->Flush();
    });
    return;
  }
  Drop(ends_.in, in_key_);
  options_.input_drained();
}

absl::Status StdioSession::Resize(uint32_t columns, uint32_t rows) {
  absl::MutexLock lock(&mu_);
  if (!ends_.out.valid()) return absl::OkStatus();
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = static_cast<unsigned short>(rows);
  if (ioctl(ends_.out.get(), TIOCSWINSZ, &size) != 0) {
    return absl::ErrnoToStatus(errno, "resizing the terminal");
  }
  return absl::OkStatus();
}

void StdioSession::SetExit(int code) {
  {
    absl::MutexLock lock(&mu_);
    exit_code_ = code;
  }
  wake_();
}

void StdioSession::SetError(absl::Status error) {
  {
    absl::MutexLock lock(&mu_);
    if (exit_code_) return;
    error_ = std::move(error);
  }
  wake_();
}

}  // namespace darse::runtime
