// The only place where Darse builds a gRPC server: a unix socket with mode 0660 and group "darse"
// (if there is one), health checking, reflection, few threads, graceful stop.
//
//   ASSIGN_OR_RETURN(auto server, rpc::Server::Start({.socket_path = path}, {&container_rpc_}));
//   stop_signal.Wait();
//   server->Stop(absl::Seconds(5));
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace darse::rpc {

struct ServerOptions {
  std::string socket_path;
  // Calls of synchronous handlers at a time; more are answered with RESOURCE_EXHAUSTED.
  int max_threads = 128;
};

// Thread-safe.
class Server {
 public:
  // UNAVAILABLE if another process listens there. `services` must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const std::vector<grpc::Service*>& services);
  // Stops at once.
  virtual ~Server() = default;

  // Takes no new calls, lets running ones end, cancels those that have not ended after `grace`.
  // Streams that follow something never end by themselves: keep it short.
  virtual void Stop(absl::Duration grace) = 0;

 protected:
  Server() = default;
};

// Who calls, for Event.actor: "uid=0 pid=12"; "unknown" where the connection is not a unix socket.
std::string Actor(const grpc::ServerContextBase& context);

}  // namespace darse::rpc
