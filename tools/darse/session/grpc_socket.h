// gRPC over HTTP/2 on a Unix socket, one call at a time: framing as in gRPC's PROTOCOL-HTTP2.md,
// HTTP/2 by nghttp2. A client that makes one call and ends has no use for gRPC's own library, whose
// threads and tables take longer to set up than the call.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/unique_fd.h"

struct nghttp2_session;

namespace darse::client {

// Of a call that the peer has not answered itself: nobody is there, or it broke.
inline constexpr char kConnectionLost[] = "CONNECTION_LOST";

// Begin and Finish enclose a call. In between one thread may read while another writes; Cancel may
// be called from any.
class GrpcSocket {
 public:
  // PERMISSION_DENIED, or UNAVAILABLE with reason CONNECTION_LOST and a word why: "there is no
  // socket", "nobody listens".
  static absl::StatusOr<std::unique_ptr<GrpcSocket>> Open(const std::string& path);
  GrpcSocket(const GrpcSocket&) = delete;
  GrpcSocket& operator=(const GrpcSocket&) = delete;
  ~GrpcSocket();

  // `method` is "/package.Service/Method". The peer is told of the timeout, but not held to it.
  void Begin(absl::string_view method, absl::Duration timeout);
  // Returns when the message is on its way, or false when the call is over.
  bool Write(absl::string_view message);
  void WritesDone();
  // Whether Read() would not wait; false at `until`.
  bool AwaitRead(absl::Time until);
  // The next message; false at the end.
  bool Read(std::string& message);
  void Cancel();
  // What the peer answered, once there is nothing more to read, or after Cancel (CANCELLED). Its
  // reason (libs/base/reason.h) is the one it sent, CONNECTION_LOST, or none.
  absl::Status Finish();

  // Whether it may carry another call.
  bool IsFree();

 private:
  struct Callbacks;

  explicit GrpcSocket(UniqueFd socket);
  absl::Status Start() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Waits for the peer once, or for another thread that does, until the time; then does what there
  // is to do.
  void Pump(absl::Time until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Receive() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Send() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Break(absl::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeData(absl::string_view data) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool CanRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !messages_.empty() || over_; }
  absl::Status Outcome() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const UniqueFd socket_;
  // Readable: whoever waits for the peer is to look again.
  const UniqueFd wake_;
  absl::Mutex mu_;
  absl::CondVar changed_;
  nghttp2_session* session_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool pumping_ ABSL_GUARDED_BY(mu_) = false;
  // Frames that the socket has not taken yet.
  std::string unsent_ ABSL_GUARDED_BY(mu_);
  // Why there is no connection any more; empty while there is.
  std::string broken_ ABSL_GUARDED_BY(mu_);

  // Of the call.
  int32_t stream_ ABSL_GUARDED_BY(mu_) = -1;
  bool over_ ABSL_GUARDED_BY(mu_) = true;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool writes_done_ ABSL_GUARDED_BY(mu_) = false;
  uint32_t stream_error_ ABSL_GUARDED_BY(mu_) = 0;
  // Framed, from `sent_` on not yet taken by nghttp2.
  std::string out_ ABSL_GUARDED_BY(mu_);
  size_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  // The start of a message whose end is still to come.
  std::string partial_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> messages_ ABSL_GUARDED_BY(mu_);
  // Headers and trailers.
  std::map<std::string, std::string> answer_ ABSL_GUARDED_BY(mu_);
  // Says that the peer breaks the protocol.
  std::string fault_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::client
