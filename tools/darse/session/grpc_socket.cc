#include "tools/darse/session/grpc_socket.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"

namespace darse::client {
namespace {

constexpr size_t kPrefix = 5;  // one byte of flags, four of length
constexpr size_t kLargestMessage = 64 << 20;
constexpr uint32_t kWindow = 4 << 20;
constexpr uint32_t kFrame = 256 << 10;
constexpr size_t kReceive = 64 << 10;
constexpr char kClosed[] = "it closed the connection";
constexpr size_t kSend = 64 << 10;

absl::Status Lost(absl::string_view why) {
  return WithReason(absl::UnavailableError(why), kConnectionLost);
}

nghttp2_nv Header(absl::string_view name, absl::string_view value) {
  return {.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          .value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())),
          .namelen = name.size(),
          .valuelen = value.size(),
          .flags = NGHTTP2_NV_FLAG_NONE};
}

// At most eight digits, so in the smallest unit that takes it.
std::string TimeoutText(absl::Duration timeout) {
  const int64_t milliseconds = std::max<int64_t>(absl::ToInt64Milliseconds(timeout), 0);
  if (milliseconds < 100'000'000) return absl::StrCat(milliseconds, "m");
  return absl::StrCat(std::min<int64_t>(milliseconds / 1000, 99'999'999), "S");
}

// Percent signs and what is not printable ASCII come as %XX.
std::string DecodeMessage(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) &&
        absl::ascii_isxdigit(text[i + 2])) {
      decoded += absl::HexStringToBytes(text.substr(i + 1, 2));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace

// What nghttp2 calls while a thread that holds the lock is inside it.
struct GrpcSocket::Callbacks {
  static GrpcSocket& Self(void* user) { return *static_cast<GrpcSocket*>(user); }

  static ssize_t Body(nghttp2_session*, int32_t, uint8_t* buffer, size_t size, uint32_t* flags,
                      nghttp2_data_source*, void* user) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    GrpcSocket& self = Self(user);
    const size_t taken = std::min(size, self.out_.size() - self.sent_);
    memcpy(buffer, self.out_.data() + self.sent_, taken);
    self.sent_ += taken;
    if (self.sent_ == self.out_.size()) {
      self.out_.clear();
      self.sent_ = 0;
      if (self.writes_done_) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
      } else if (taken == 0) {
        return NGHTTP2_ERR_DEFERRED;
      }
    }
    return static_cast<ssize_t>(taken);
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    GrpcSocket& self = Self(user);
    if (frame->hd.stream_id != self.stream_) return 0;
    self.answer_[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                    void* user) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    GrpcSocket& self = Self(user);
    if (stream != self.stream_) return 0;
    self.TakeData({reinterpret_cast<const char*>(data), size});
    return 0;
  }

  // The peer has said all, though we may have more to say: that interests nobody any more.
  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame,
                     void* user) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    GrpcSocket& self = Self(user);
    if (frame->hd.stream_id != self.stream_ || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
      return 0;
    }
    self.over_ = true;
    if (!self.writes_done_) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, self.stream_, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int OnClose(nghttp2_session*, int32_t stream, uint32_t error,
                     void* user) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    GrpcSocket& self = Self(user);
    if (stream != self.stream_) return 0;
    self.over_ = true;
    self.stream_error_ = error;
    return 0;
  }
};

absl::StatusOr<std::unique_ptr<GrpcSocket>> GrpcSocket::Open(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": too long for the name of a socket"));
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return absl::ErrnoToStatus(errno, "socket");
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    switch (errno) {
      case ENOENT:
      case ENOTDIR:
        return Lost("there is no socket");
      case ECONNREFUSED:
        return Lost("nobody listens");
      case EAGAIN:
        return Lost("it does not answer");
      case EACCES:
      case EPERM:
        return absl::PermissionDeniedError(absl::StrCat(path, ": ", strerror(errno)));
      default:
        return Lost(strerror(errno));
    }
  }
  std::unique_ptr<GrpcSocket> opened(new GrpcSocket(std::move(socket)));
  absl::MutexLock lock(&opened->mu_);
  RETURN_IF_ERROR(opened->Start());
  return opened;
}

GrpcSocket::GrpcSocket(UniqueFd socket)
    : socket_(std::move(socket)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

GrpcSocket::~GrpcSocket() { nghttp2_session_del(session_); }

absl::Status GrpcSocket::Start() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return absl::InternalError("nghttp2");
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnClose);
  const int made = nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return absl::InternalError(nghttp2_strerror(made));
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow},
                                             {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kFrame}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindow);
  return absl::OkStatus();
}

void GrpcSocket::Begin(absl::string_view method, absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  over_ = !broken_.empty();
  cancelled_ = writes_done_ = false;
  stream_error_ = NGHTTP2_NO_ERROR;
  out_.clear();
  sent_ = 0;
  partial_.clear();
  messages_.clear();
  answer_.clear();
  fault_.clear();
  const std::string limit = TimeoutText(timeout);
  std::vector<nghttp2_nv> headers = {
      Header(":method", "POST"),    Header(":scheme", "http"),
      Header(":path", method),      Header(":authority", "localhost"),
      Header("te", "trailers"),     Header("content-type", "application/grpc"),
      Header("user-agent", "darse")};
  if (timeout != absl::InfiniteDuration()) headers.push_back(Header("grpc-timeout", limit));
  nghttp2_data_provider body = {.source = {}, .read_callback = Callbacks::Body};
  stream_ = nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, this);
  if (stream_ < 0) Break(nghttp2_strerror(stream_));
}

bool GrpcSocket::Write(absl::string_view message) {
  absl::MutexLock lock(&mu_);
  if (over_) return false;
  const uint32_t size = static_cast<uint32_t>(message.size());
  const char prefix[kPrefix] = {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                                static_cast<char>(size >> 8), static_cast<char>(size)};
  out_.append(prefix, kPrefix).append(message.data(), message.size());
  nghttp2_session_resume_data(session_, stream_);
  Send();
  while (!over_ && !out_.empty()) Pump(absl::InfiniteFuture());
  return !over_;
}

void GrpcSocket::WritesDone() {
  absl::MutexLock lock(&mu_);
  if (over_) return;
  writes_done_ = true;
  nghttp2_session_resume_data(session_, stream_);
  Send();
}

bool GrpcSocket::AwaitRead(absl::Time until) {
  absl::MutexLock lock(&mu_);
  while (!CanRead() && absl::Now() < until) Pump(until);
  return CanRead();
}

bool GrpcSocket::Read(std::string& message) {
  absl::MutexLock lock(&mu_);
  while (!CanRead()) Pump(absl::InfiniteFuture());
  if (messages_.empty()) return false;
  message = std::move(messages_.front());
  messages_.pop_front();
  return true;
}

void GrpcSocket::Cancel() {
  absl::MutexLock lock(&mu_);
  if (over_) return;
  cancelled_ = over_ = true;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_, NGHTTP2_CANCEL);
  Send();
  changed_.SignalAll();
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) < 0) Break("cannot wake the reader");
}

absl::Status GrpcSocket::Finish() {
  absl::MutexLock lock(&mu_);
  while (!over_) {
    messages_.clear();
    Pump(absl::InfiniteFuture());
  }
  absl::Status outcome = Outcome();
  stream_ = -1;
  return outcome;
}

bool GrpcSocket::IsFree() {
  absl::MutexLock lock(&mu_);
  // A peer that has gone meanwhile shows now.
  if (broken_.empty() && stream_ < 0) Receive();
  return broken_.empty() && stream_ < 0 && nghttp2_session_want_read(session_) != 0 &&
         nghttp2_session_check_request_allowed(session_) != 0;
}

void GrpcSocket::Pump(absl::Time until) {
  if (pumping_) {
    changed_.WaitWithDeadline(&mu_, until);
    return;
  }
  pumping_ = true;
  const bool blocked = !unsent_.empty();
  mu_.Unlock();
  pollfd fds[] = {{socket_.get(), static_cast<short>(blocked ? POLLIN | POLLOUT : POLLIN), 0},
                  {wake_.get(), POLLIN, 0}};
  const absl::Duration left = until - absl::Now();
  const int timeout =
      left > absl::Hours(1)
          ? 3'600'000
          : static_cast<int>(std::max<int64_t>(
                absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))), 0));
  poll(fds, std::size(fds), timeout);
  mu_.Lock();
  pumping_ = false;
  if (fds[1].revents != 0) {
    uint64_t seen;
    if (read(wake_.get(), &seen, sizeof(seen)) < 0 && errno != EAGAIN) Break(strerror(errno));
  }
  Receive();
  Send();
  changed_.SignalAll();
}

void GrpcSocket::Receive() {
  if (!broken_.empty()) return;
  uint8_t buffer[kReceive];
  for (;;) {
    const ssize_t got = recv(socket_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    // Reset: it died before it had read all.
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return Break(kClosed);
    if (got < 0) return Break(strerror(errno));
    const ssize_t used = nghttp2_session_mem_recv(session_, buffer, static_cast<size_t>(got));
    if (used < 0) return Break(nghttp2_strerror(static_cast<int>(used)));
    // What is there is handed out before more is taken.
    if (static_cast<size_t>(got) < sizeof(buffer) || CanRead()) return;
  }
}

void GrpcSocket::Send() {
  while (broken_.empty()) {
    // All that there is goes in one piece: the peer wakes once.
    while (unsent_.size() < kSend) {
      const uint8_t* frame = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &frame);
      if (size < 0) return Break(nghttp2_strerror(static_cast<int>(size)));
      if (size == 0) break;
      unsent_.append(reinterpret_cast<const char*>(frame), static_cast<size_t>(size));
    }
    if (unsent_.empty()) return;
    const ssize_t sent =
        send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) {
      // What the peer had to say before it closed is read first.
      Receive();
      return Break(kClosed);
    }
    unsent_.erase(0, static_cast<size_t>(sent));
  }
}

void GrpcSocket::Break(absl::string_view why) {
  if (broken_.empty()) broken_ = std::string(why);
  over_ = true;
}

void GrpcSocket::TakeData(absl::string_view data) {
  if (over_ || !fault_.empty()) return;
  partial_.append(data.data(), data.size());
  size_t at = 0;
  while (partial_.size() - at >= kPrefix) {
    const auto* prefix = reinterpret_cast<const uint8_t*>(partial_.data() + at);
    const uint32_t size =
        static_cast<uint32_t>(prefix[1]) << 24 | prefix[2] << 16 | prefix[3] << 8 | prefix[4];
    if (prefix[0] != 0) fault_ = "it compresses, unasked";
    if (size > kLargestMessage) fault_ = absl::StrCat("it sends a message of ", size, " bytes");
    if (!fault_.empty()) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_, NGHTTP2_CANCEL);
      break;
    }
    if (partial_.size() - at - kPrefix < size) break;
    messages_.push_back(partial_.substr(at + kPrefix, size));
    at += kPrefix + size;
  }
  partial_.erase(0, at);
}

absl::Status GrpcSocket::Outcome() const {
  if (cancelled_) return absl::CancelledError("the call was cancelled");
  if (!fault_.empty()) return absl::InternalError(fault_);
  auto status = answer_.find("grpc-status");
  if (status == answer_.end()) {
    if (!broken_.empty()) return Lost(broken_);
    auto http = answer_.find(":status");
    if (http != answer_.end() && http->second != "200") {
      return Lost(absl::StrCat("it answers with HTTP status ", http->second));
    }
    return Lost(absl::StrCat("it ended the call (", nghttp2_http2_strerror(stream_error_), ")"));
  }
  int code = 0;
  if (!absl::SimpleAtoi(status->second, &code) || code < 0 || code > 16) {
    code = static_cast<int>(absl::StatusCode::kUnknown);
  }
  if (code == 0) return absl::OkStatus();
  auto message = answer_.find("grpc-message");
  absl::Status answered(static_cast<absl::StatusCode>(code),
                        message != answer_.end() ? DecodeMessage(message->second) : "");
  auto reason = answer_.find("darse-reason");
  return reason == answer_.end() ? answered : WithReason(std::move(answered), reason->second);
}

}  // namespace darse::client
