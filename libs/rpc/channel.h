// Client side: a channel to a service's unix socket.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace darse::rpc {

// Debian builds Abseil with its checks: every lock, and gRPC takes many, is entered in one graph of
// all under a lock of its own, to find orders that could end in a deadlock. Programs that make a
// channel or a server do without; the thread sanitizer looks for the same in tests. Any thread, any
// time.
void TakeLocksUnchecked();

// Connects when first used and again after 0.1 to 1 s when the peer went away. Never blocks.
std::shared_ptr<grpc::Channel> UnixChannel(absl::string_view socket_path);

// Every call between services has one; streams that follow have none but are cancelled.
void SetTimeout(grpc::ClientContext& context, absl::Duration timeout);

}  // namespace darse::rpc
