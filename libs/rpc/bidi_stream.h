// A stream in both directions that holds no thread while it waits (exec, attach): requests are
// handed to a session, responses are pulled from it.
//
//   return rpc::StartBidi<ExecRequest, ExecResponse>(waker, std::make_unique<ExecSession>(waker,
//   …));
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/rpc/pump.h"
#include "libs/rpc/status.h"
#include "libs/rpc/waker.h"

namespace darse::rpc {

// Requests come one at a time and responses are pulled one at a time, but OnRequest and Pull may
// run at the same time. None of them may wait. Destroyed when the stream is over, also when the
// client went away in the middle.
template <typename Request, typename Response>
class BidiSession {
 public:
  virtual ~BidiSession() = default;

  // An error ends the stream with that error.
  virtual absl::Status OnRequest(Request& request) = 0;
  // The client sends no more; Pull goes on.
  virtual void OnRequestsDone() {}
  // While false no request is read, so that the client waits; asked again after Wake().
  virtual bool WantsRequest() { return true; }
  // Fills the next response, as rpc::Source does.
  virtual absl::StatusOr<Next> Pull(Response& response) = 0;
};

template <typename Request, typename Response>
class BidiStream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  using Session = BidiSession<Request, Response>;

  BidiStream(std::shared_ptr<Waker> waker, std::unique_ptr<Session> session)
      : session_(std::move(session)), waker_(std::move(waker)), pump_([this] { return Turn(); }) {
    waker_->Attach([this] { pump_.Wake(); });
    pump_.Wake();
  }

 private:
  Pump::Left Turn() {
    absl::Status error;
    {
      absl::MutexLock lock(&mu_);
      error = error_;
    }
    if (!error.ok()) return End(error);
    ReadIfWanted();
    response_.Clear();
    absl::StatusOr<Next> next = session_->Pull(response_);
    if (!next.ok()) return End(next.status());
    switch (*next) {
      case Next::kWrite:
        this->StartWrite(&response_);
        return Pump::Left::kOperation;
      case Next::kWriteLast: {
        absl::MutexLock lock(&mu_);
        ended_ = true;
        this->StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
        return Pump::Left::kOperation;
      }
      case Next::kEnd:
        return End(absl::OkStatus());
      case Next::kWait:
        break;
    }
    return Pump::Left::kNothing;
  }
  void ReadIfWanted() {
    bool wanted = session_->WantsRequest();
    absl::MutexLock lock(&mu_);
    if (!wanted || reading_ || read_all_ || ended_) return;
    reading_ = true;
    this->StartRead(&request_);
  }
  // Only OnDone comes after this.
  Pump::Left End(const absl::Status& status) {
    absl::MutexLock lock(&mu_);
    ended_ = true;
    this->Finish(ToGrpc(status));
    return Pump::Left::kOperation;
  }
  void Fail(absl::Status error) {
    {
      absl::MutexLock lock(&mu_);
      if (error_.ok()) error_ = std::move(error);
    }
    pump_.Wake();
  }

  void OnReadDone(bool ok) override {
    absl::Status handled = ok ? session_->OnRequest(request_) : absl::OkStatus();
    if (!ok) session_->OnRequestsDone();
    {
      absl::MutexLock lock(&mu_);
      reading_ = false;
      read_all_ = !ok || !handled.ok();
    }
    if (!handled.ok()) return Fail(std::move(handled));
    ReadIfWanted();
    pump_.Wake();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) Fail(absl::CancelledError("the client went away"));
    pump_.Again();
  }
  void OnCancel() override { Fail(absl::CancelledError("the client went away")); }
  void OnDone() override {
    waker_->Detach();
    pump_.Stop([this] { delete this; });
  }

  const std::unique_ptr<Session> session_;
  const std::shared_ptr<Waker> waker_;
  absl::Mutex mu_;
  absl::Status error_ ABSL_GUARDED_BY(mu_);
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool read_all_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  Request request_;
  Response response_;
  Pump pump_;
};

// What a callback handler returns. `waker` may be woken before this call.
template <typename Request, typename Response>
grpc::ServerBidiReactor<Request, Response>* StartBidi(
    std::shared_ptr<Waker> waker, std::unique_ptr<BidiSession<Request, Response>> session) {
  return new BidiStream<Request, Response>(std::move(waker), std::move(session));
}

}  // namespace darse::rpc
