#include "tools/darse/container/interact.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "tools/darse/session/runtime_methods.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

// After which a silent runtime is asked whether it is there.
constexpr absl::Duration kQuietTime = absl::Seconds(2);

// Puts our terminal into raw mode, and back whatever happens.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    if (!wanted || tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    cfmakeraw(&raw);
    active_ = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }

 private:
  termios before_;
  bool active_ = false;
};

bool WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    ssize_t wrote = write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EAGAIN) {
      pollfd wait = {fd, POLLOUT, 0};
      poll(&wait, 1, -1);
      continue;
    }
    if (wrote < 0 && errno != EINTR) return false;
    if (wrote > 0) text.remove_prefix(wrote);
  }
  return true;
}

}  // namespace

// What came back, read on a thread of its own.
template <typename Request, typename Response>
class Receiver {
 public:
  explicit Receiver(TypedStream<Request, Response>& stream)
      : stream_(stream), done_(eventfd(0, EFD_CLOEXEC)), thread_([this] { Read(); }) {}
  ~Receiver() { Join(); }

  // Whether the stream is open, or will never be.
  bool AwaitOpening(absl::Duration timeout) {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&opened_), timeout);
  }
  // After AwaitOpening().
  const CreateContainerResponse& created() const { return created_; }
  // Readable once there is an exit code, or nothing more to come.
  int done_fd() const { return done_.get(); }
  // At most that long.
  void AwaitEnd(int timeout_ms) {
    uint64_t seen;
    if (read(done_.get(), &seen, sizeof seen) < 0 || ended_) return;
    pollfd wait = {done_.get(), POLLIN, 0};
    poll(&wait, 1, timeout_ms);
  }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  bool ended() const { return ended_; }
  // After Join().
  const std::optional<int>& exit_code() const { return exit_code_; }

 private:
  void Read() {
    Response response;
    while (stream_.Read(response)) {
      if (response.has_stdout()) {
        if (!WriteAll(STDOUT_FILENO, response.stdout())) break;
      } else if (response.has_stderr()) {
        WriteAll(STDERR_FILENO, response.stderr());
      } else if (response.has_exit_code()) {
        exit_code_ = response.exit_code();
        Signal();
      } else if (IsOpening(response)) {
        SetOpened();
      }
    }
    ended_ = true;
    SetOpened();
    Signal();
  }
  bool IsOpening(ExecResponse&) { return false; }
  bool IsOpening(AttachResponse& response) {
    if (response.has_attached()) return true;
    if (!response.has_created()) return false;
    created_.Swap(response.mutable_created());
    return true;
  }
  void SetOpened() {
    absl::MutexLock lock(&mu_);
    opened_ = true;
  }
  void Signal() {
    const uint64_t one = 1;
    if (write(done_.get(), &one, sizeof one) < 0) perror("darse: eventfd");
  }

  TypedStream<Request, Response>& stream_;
  UniqueFd done_;
  CreateContainerResponse created_;
  absl::Mutex mu_;
  bool opened_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<int> exit_code_;
  std::atomic<bool> ended_{false};
  std::thread thread_;  // last: it uses all above
};

namespace {

template <typename Request, typename Response>
InteractResult Converse(TypedStream<Request, Response>& stream,
                        Receiver<Request, Response>& receiver, const InteractOptions& options) {
  const bool own_terminal = options.tty && options.input && isatty(STDIN_FILENO);
  fflush(stdout);
  // In raw mode Ctrl-C is a byte for the process inside.
  std::optional<CaughtSignals> own_signals;
  if (options.caught == nullptr) own_signals.emplace(std::initializer_list<int>{SIGWINCH});
  CaughtSignals& signals = options.caught != nullptr ? *options.caught : *own_signals;
  RawTerminal raw(own_terminal);
  if (options.tty) {
    // Before the start there was no terminal to take a size.
    Request request;
    *request.mutable_resize() = OwnTerminalSize();
    if (request.resize().columns() > 0) stream.Write(request);
  }
  DetachKeys keys(options.tty ? options.detach_keys : "");
  bool input_open = options.input;
  bool detached = false;
  for (;;) {
    pollfd fds[3] = {{receiver.done_fd(), POLLIN, 0},
                     {signals.fd(), POLLIN, 0},
                     {input_open ? STDIN_FILENO : -1, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0 && errno != EINTR) break;
    if (fds[0].revents != 0) break;
    while (int number = signals.Next()) {
      if (number != SIGWINCH) {
        options.forward(number);
      } else if (options.tty) {
        Request request;
        *request.mutable_resize() = OwnTerminalSize();
        stream.Write(request);
      }
    }
    if (fds[2].revents == 0) continue;
    char block[32768];
    ssize_t got = read(STDIN_FILENO, block, sizeof block);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    Request request;
    if (got <= 0) {
      input_open = false;
      request.set_stdin_closed(true);
    } else {
      request.set_stdin(keys.Filter(absl::string_view(block, got), detached));
    }
    if (request.has_stdin_closed() || !request.stdin().empty()) stream.Write(request);
    if (detached) break;
  }
  // As with docker: afterwards one that removes itself is in no list, and the next one finds its
  // name and ports free.
  if (!detached && options.starts) receiver.AwaitEnd(/*timeout_ms=*/10'000);
  // What ended by itself says why in its status.
  if (!receiver.ended()) stream.Cancel();
  receiver.Join();
  if (detached) {
    stream.Finish().IgnoreError();
    return std::optional<int>();
  }
  if (receiver.exit_code()) {
    stream.Finish().IgnoreError();
    return receiver.exit_code();
  }
  absl::Status status = stream.Finish();
  if (status.ok()) status = absl::UnavailableError("the stream ended before the process did");
  return status;
}

}  // namespace

TerminalSize OwnTerminalSize() {
  TerminalSize size;
  winsize found = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) == 0 ||
      ioctl(STDIN_FILENO, TIOCGWINSZ, &found) == 0) {
    size.set_columns(found.ws_col);
    size.set_rows(found.ws_row);
  }
  return size;
}

absl::StatusOr<std::string> ParseDetachKeys(absl::string_view text) {
  std::string keys;
  for (absl::string_view key : absl::StrSplit(text, ',')) {
    if (key.size() == 1) {
      keys += key[0];
      continue;
    }
    const std::string lower = absl::AsciiStrToLower(key);
    const char letter = lower.size() == 6 ? lower[5] : 0;
    if (!absl::StartsWith(lower, "ctrl-") || letter < '@' || letter > 'z') {
      return absl::InvalidArgumentError(absl::StrCat("--detach-keys \"", text,
                                                     "\": write characters and ctrl-LETTER, as in "
                                                     "ctrl-p,ctrl-q"));
    }
    keys += static_cast<char>(letter & 0x1f);
  }
  return keys;
}

std::string DetachKeys::Filter(absl::string_view typed, bool& detached) {
  if (keys_.empty()) return std::string(typed);
  std::string out;
  for (char c : typed) {
    if (c == keys_[matched_]) {
      if (++matched_ == keys_.size()) {
        detached = true;
        return out;
      }
      continue;
    }
    // What looked like the keys was not: it is sent after all.
    out.append(keys_, 0, matched_);
    matched_ = c == keys_[0] ? 1 : 0;
    if (matched_ == 0) out += c;
  }
  return out;
}

Attachment::Attachment(AttachStream stream) : stream_(std::move(stream)) {}

Attachment::~Attachment() {
  if (receiver_ != nullptr && !receiver_->ended()) stream_.Cancel();
}

const CreateContainerResponse& Attachment::created() const { return receiver_->created(); }

absl::StatusOr<std::unique_ptr<Attachment>> OpenAttach(Session& session, AttachRequest::Start start,
                                                       const InteractOptions& options) {
  auto attachment = std::make_unique<Attachment>(session.Open(runtime::kAttach));
  AttachStream& stream = attachment->stream_;
  AttachRequest request;
  *request.mutable_start() = std::move(start);
  request.mutable_start()->set_stdin(options.input);
  if (!request.start().has_create()) request.mutable_start()->set_starts_container(options.starts);
  if (options.tty) *request.mutable_start()->mutable_size() = OwnTerminalSize();
  fflush(stdout);
  // What does not take the request says why when it is read.
  stream.Write(request);
  attachment->receiver_ = std::make_unique<Receiver<AttachRequest, AttachResponse>>(stream);
  Receiver<AttachRequest, AttachResponse>& receiver = *attachment->receiver_;
  while (!receiver.AwaitOpening(kQuietTime)) {
    absl::Status alive = session.CheckAlive(Service::kRuntime);
    if (alive.ok() || receiver.AwaitOpening(absl::ZeroDuration())) continue;
    stream.Cancel();
    receiver.Join();
    stream.Finish().IgnoreError();
    return alive;
  }
  if (!receiver.ended() || receiver.exit_code()) return attachment;
  receiver.Join();
  absl::Status status = stream.Finish();
  return status.ok() ? absl::UnavailableError("attaching ended at once") : status;
}

InteractResult Interact(Attachment& attachment, const InteractOptions& options) {
  return Converse(attachment.stream_, *attachment.receiver_, options);
}
InteractResult Interact(ExecStream& stream, const InteractOptions& options) {
  Receiver<ExecRequest, ExecResponse> receiver(stream);
  return Converse(stream, receiver, options);
}

}  // namespace darse::client
