// absl::Status over gRPC and back: code and message as they are, the reason (libs/base/reason.h) as
// trailing metadata "darse-reason" and as an ErrorInfo in the status details.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace darse::rpc {

inline constexpr char kReasonKey[] = "darse-reason";
// Of every ErrorInfo that Darse writes.
inline constexpr char kReasonDomain[] = "darse";

// rpc::Server adds the trailing metadata by itself.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// True for the error of a call whose peer is not there (nobody listens, the connection broke, no
// answer within the deadline), as against one that the peer answered with.
bool PeerIsMissing(const absl::Status& status);

}  // namespace darse::rpc
