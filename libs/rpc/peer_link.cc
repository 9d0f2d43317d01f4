#include "libs/rpc/peer_link.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/impl/rpc_method.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"

namespace darse::rpc {
namespace {

// grpc.health.v1.HealthCheckRequest with no service, and an answer of which only its coming
// matters: both as bytes, since Debian ships no generated code for them.
grpc::Status CheckHealth(grpc::Channel& channel, grpc::ClientContext& context) {
  const grpc::internal::RpcMethod method("/grpc.health.v1.Health/Check",
                                         grpc::internal::RpcMethod::NORMAL_RPC);
  // A default ByteBuffer is no message at all; this one is an empty message.
  const grpc::Slice nothing;
  grpc::ByteBuffer request(&nothing, 1), response;
  return grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer, grpc::ByteBuffer,
                                           grpc::ByteBuffer>(&channel, method, &context, request,
                                                             &response);
}

}  // namespace

PeerLink::PeerLink(Options options, Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      channel_(UnixChannel(options_.socket_path)),
      missing_since_(clock.Now()),
      thread_([this] { ProbeLoop(); }) {}

PeerLink::~PeerLink() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (probing_ != nullptr) probing_->TryCancel();
  }
  thread_.join();
}

std::optional<absl::Time> PeerLink::MissingSince() const {
  absl::MutexLock lock(&mu_);
  return missing_since_;
}

absl::Status PeerLink::Check() const {
  std::optional<absl::Time> since = MissingSince();
  if (!since) return absl::OkStatus();
  return WithReason(absl::UnavailableError(absl::StrCat(
                        options_.peer, " is missing since ",
                        absl::FormatTime("%Y-%m-%d %H:%M:%S", *since, absl::LocalTimeZone()))),
                    "PEER_MISSING");
}

void PeerLink::Observe(const absl::Status& call) {
  if (PeerIsMissing(call)) {
    // A deadline may have passed because the work was long: let the probe decide.
    absl::MutexLock lock(&mu_);
    probe_now_ = true;
    return;
  }
  Set(true);
}

bool PeerLink::WaitUntilPresent(absl::Time deadline) const {
  absl::MutexLock lock(&mu_);
  auto settled = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !missing_since_.has_value() || stopping_;
  };
  mu_.AwaitWithDeadline(absl::Condition(&settled), deadline);
  return !missing_since_.has_value();
}

void PeerLink::OnChange(std::function<void(bool present)> change) {
  absl::MutexLock lock(&mu_);
  auto quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return changing_ == 0; };
  mu_.Await(absl::Condition(&quiet));
  change_ = std::move(change);
}

void PeerLink::ProbeLoop() {
  for (;;) {
    bool present = Probe();
    Set(present);
    absl::MutexLock lock(&mu_);
    auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || probe_now_; };
    if (present) {
      mu_.AwaitWithTimeout(absl::Condition(&due), options_.probe_when_present);
    } else {
      // Calls that fail meanwhile must not make this a busy loop.
      mu_.AwaitWithTimeout(absl::Condition(&stopping_), options_.probe_when_missing);
    }
    if (stopping_) return;
    probe_now_ = false;
  }
}

bool PeerLink::Probe() {
  grpc::ClientContext context;
  SetTimeout(context, options_.probe_timeout);
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return false;
    probing_ = &context;
  }
  absl::Status status = FromGrpc(CheckHealth(*channel_, context));
  absl::MutexLock lock(&mu_);
  probing_ = nullptr;
  // A server that serves no health service is there all the same.
  return status.ok() || absl::IsUnimplemented(status) || absl::IsNotFound(status);
}

void PeerLink::Set(bool present) {
  std::function<void(bool)> change;
  {
    absl::MutexLock lock(&mu_);
    if (stopping_ || present == !missing_since_.has_value()) return;
    if (present) {
      missing_since_.reset();
    } else {
      missing_since_ = clock_.Now();
    }
    change = change_;
    ++changing_;
  }
  if (change) change(present);
  absl::MutexLock lock(&mu_);
  --changing_;
}

}  // namespace darse::rpc
