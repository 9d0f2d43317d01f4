// One service seen from the client: calls by method name with protobuf messages, no generated stub.
// The only code of the client that speaks gRPC is grpc_socket.h.
#pragma once

#include <google/protobuf/message_lite.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace darse::client {

class GrpcSocket;

// Set on an error when the service was not there, or froze: exit code 75.
inline constexpr char kServiceMissing[] = "SERVICE_MISSING";

// A call that carries messages while it lasts. Thread-compatible, but one thread may Read while
// another one writes; Cancel may be called from any.
class Stream {
 public:
  virtual ~Stream() = default;
  // False when the call is over: Finish() says why.
  virtual bool Write(const google::protobuf::MessageLite& message) = 0;
  virtual void WritesDone() = 0;
  virtual bool Read(google::protobuf::MessageLite& message) = 0;
  // After Read answered false, or Cancel.
  virtual absl::Status Finish() = 0;
  virtual void Cancel() = 0;
};

// Thread-safe.
class Connection {
 public:
  Connection(absl::string_view service, absl::string_view socket_path);
  ~Connection();

  const std::string& service() const { return service_; }
  const std::string& socket_path() const { return socket_path_; }

  // Waits as long as the service is alive: when no answer has come for two seconds its health is
  // asked for, and a service that does not answer that either is missing. `timeout` ends the call
  // in any case.
  absl::Status Call(const char* method, const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite& response,
                    absl::Duration timeout = absl::InfiniteDuration());
  std::unique_ptr<Stream> Open(const char* method);
  // OK if it answers "serving" within `timeout`.
  absl::Status CheckHealth(absl::Duration timeout);

 private:
  absl::StatusOr<std::unique_ptr<GrpcSocket>> Take();
  void PutBack(std::unique_ptr<GrpcSocket> socket);

  const std::string service_;
  const std::string socket_path_;
  absl::Mutex mu_;
  // Each carries one call at a time.
  std::vector<std::unique_ptr<GrpcSocket>> free_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::client
