// A server stream that holds no thread while it waits: messages are pulled from a source, one at a
// time, as fast as the client takes them. So a slow client slows nobody and nothing piles up.
//
//   grpc::ServerWriteReactor<WatchEventsResponse>* WatchEvents(
//       grpc::CallbackServerContext*, const WatchEventsRequest* request) override {
//     auto waker = std::make_shared<rpc::Waker>();
//     return rpc::StreamFrom<WatchEventsResponse>(
//         waker, [cursor, subscription = log_.Subscribe([waker] { waker->Wake(); }), this](
//                    WatchEventsResponse& response) mutable -> absl::StatusOr<rpc::Next> {
//           … fill `response` with all there is (batches are what makes streams fast) …
//           return response.events().empty() ? rpc::Next::kWait : rpc::Next::kWrite;
//         });
//   }
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/rpc/pump.h"
#include "libs/rpc/status.h"
#include "libs/rpc/waker.h"

namespace darse::rpc {

// Called on gRPC's threads, never twice at a time; may read files or the database, must not wait
// for anything else. An error ends the stream with that error. Destroyed when the stream is over.
template <typename Response>
using Source = absl::AnyInvocable<absl::StatusOr<Next>(Response&)>;

template <typename Response>
class StreamWriter final : public grpc::ServerWriteReactor<Response> {
 public:
  StreamWriter(std::shared_ptr<Waker> waker, Source<Response> source)
      : source_(std::move(source)), waker_(std::move(waker)), pump_([this] { return Pull(); }) {
    waker_->Attach([this] { pump_.Wake(); });
    pump_.Wake();
  }

 private:
  Pump::Left Pull() {
    if (cancelled_.load()) return End(absl::CancelledError("the client went away"));
    response_.Clear();
    absl::StatusOr<Next> next = source_(response_);
    if (!next.ok()) return End(next.status());
    switch (*next) {
      case Next::kWrite:
        this->StartWrite(&response_);
        return Pump::Left::kOperation;
      case Next::kWriteLast:
        this->StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
        return Pump::Left::kOperation;
      case Next::kEnd:
        return End(absl::OkStatus());
      case Next::kWait:
        break;
    }
    return Pump::Left::kNothing;
  }
  // Only OnDone comes after this.
  Pump::Left End(const absl::Status& status) {
    this->Finish(ToGrpc(status));
    return Pump::Left::kOperation;
  }

  void OnWriteDone(bool ok) override {
    if (!ok) cancelled_.store(true);
    pump_.Again();
  }
  void OnCancel() override {
    cancelled_.store(true);
    pump_.Wake();
  }
  void OnDone() override {
    waker_->Detach();
    pump_.Stop([this] { delete this; });
  }

  Source<Response> source_;
  const std::shared_ptr<Waker> waker_;
  std::atomic<bool> cancelled_{false};
  Response response_;
  Pump pump_;
};

// What a callback handler returns. `waker` may be woken before this call.
template <typename Response>
grpc::ServerWriteReactor<Response>* StreamFrom(std::shared_ptr<Waker> waker,
                                               Source<Response> source) {
  return new StreamWriter<Response>(std::move(waker), std::move(source));
}

}  // namespace darse::rpc
