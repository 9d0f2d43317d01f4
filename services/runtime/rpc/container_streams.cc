// The calls of ContainerService that last: wait, logs, attach, exec.
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/bidi_stream.h"
#include "libs/rpc/pump.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"
#include "services/runtime/containers/log_follower.h"
#include "services/runtime/containers/spec_check.h"
#include "services/runtime/rpc/container_proto.h"
#include "services/runtime/rpc/container_rpc.h"

namespace darse::runtime {
namespace {

// Answers once the condition holds.
class WaitReactor final : public grpc::ServerUnaryReactor {
 public:
  WaitReactor(ContainerEngine& engine, const v1::WaitContainerRequest& request,
              v1::WaitContainerResponse& response)
      : engine_(engine), response_(response), pump_([this] { return Look(); }) {
    switch (request.condition()) {
      case v1::WaitContainerRequest::REMOVED:
        condition_ = WaitCondition::kRemoved;
        break;
      case v1::WaitContainerRequest::HEALTHY:
        condition_ = WaitCondition::kHealthy;
        break;
      default:
        condition_ = WaitCondition::kNotRunning;
    }
    absl::StatusOr<std::string> id = engine.FindForWait(request.container());
    if (!id.ok()) {
      Finish(rpc::ToGrpc(id.status()));
      return;
    }
    id_ = *std::move(id);
    subscription_ = engine.changes().Subscribe(id_, [this] { pump_.Wake(); });
    pump_.Wake();
  }

 private:
  rpc::Pump::Left Look() {
    if (cancelled_) return End(absl::CancelledError("the client went away"));
    absl::StatusOr<WaitAnswer> answer = engine_.CheckWait(id_, condition_);
    if (!answer.ok()) return End(answer.status());
    if (!answer->holds) return rpc::Pump::Left::kNothing;
    response_.set_exit_code(answer->exit_code);
    response_.set_oom_killed(answer->oom_killed);
    return End(absl::OkStatus());
  }
  rpc::Pump::Left End(const absl::Status& status) {
    Finish(rpc::ToGrpc(status));
    // Only OnDone comes after this.
    return rpc::Pump::Left::kOperation;
  }
  void OnCancel() override {
    cancelled_ = true;
    pump_.Wake();
  }
  void OnDone() override {
    subscription_.reset();
    pump_.Stop([this] { delete this; });
  }

  ContainerEngine& engine_;
  v1::WaitContainerResponse& response_;
  WaitCondition condition_;
  std::string id_;
  std::atomic<bool> cancelled_{false};
  rpc::Pump pump_;
  std::unique_ptr<ChangeHub::Subscription> subscription_;
};

struct Begun {
  ProcessStream stream;
  // By this call.
  std::optional<CreatedContainer> created;
  // Whether the call ends now that the process has; asked again after each wake. Empty: it does.
  std::function<absl::StatusOr<bool>()> ends;
};

// What an exec and an attachment have in common: a first message, then input and output. The
// engine's verb runs on the pool, since it waits for the shim.
template <typename Request, typename Response>
class StdioCall : public rpc::BidiSession<Request, Response> {
 public:
  using Begin = std::function<absl::StatusOr<Begun>(const typename Request::Start& start,
                                                    std::function<void()> wake)>;

  StdioCall(std::shared_ptr<rpc::Waker> waker, SerialPool& pool, std::string key, Begin begin)
      : waker_(std::move(waker)), pool_(pool), key_(std::move(key)), begin_(std::move(begin)) {}
  ~StdioCall() override {
    absl::MutexLock lock(&state_->mu);
    state_->gone = true;
    if (state_->stream) state_->stream->stdio->Close();
  }

  absl::Status OnRequest(Request& request) override {
    if (request.has_start()) return OnStart(request.start());
    if (!started_) return absl::InvalidArgumentError("the first message is not `start`");
    absl::MutexLock lock(&state_->mu);
    if (!state_->stream) {
      // Comes before the stream is there: the client types fast.
      state_->early.push_back(std::move(request));
      return absl::OkStatus();
    }
    return Apply(*state_->stream, request);
  }

  void OnRequestsDone() override {
    absl::MutexLock lock(&state_->mu);
    // Whoever is attached says so when the container's input is to end; going away is detaching.
    if (std::is_same_v<Request, v1::AttachRequest>) return;
    state_->input_done = true;
    if (state_->stream) state_->stream->stdio->CloseInput();
  }

  bool WantsRequest() override {
    absl::MutexLock lock(&state_->mu);
    if (!state_->stream) return state_->early.size() < 16;
    return state_->stream->stdio->WantsInput();
  }

  absl::StatusOr<rpc::Next> Pull(Response& response) override {
    std::shared_ptr<StdioSession> stdio;
    {
      absl::MutexLock lock(&state_->mu);
      if (!state_->error.ok()) return state_->error;
      if (!state_->stream) return rpc::Next::kWait;
      if (!std::exchange(announced_, true)) {
        Announce(*state_->stream, std::exchange(state_->created, std::nullopt), response);
        return rpc::Next::kWrite;
      }
      stdio = state_->stream->stdio;
    }
    if (detach_) return rpc::Next::kEnd;
    if (exited_) {
      ASSIGN_OR_RETURN(bool over, IsOver());
      return over ? rpc::Next::kEnd : rpc::Next::kWait;
    }
    ASSIGN_OR_RETURN(StdioOutput output, stdio->Read());
    switch (output.kind) {
      case StdioOutput::Kind::kNothing:
        return rpc::Next::kWait;
      case StdioOutput::Kind::kStdout:
        response.set_stdout(std::move(output.bytes));
        break;
      case StdioOutput::Kind::kStderr:
        response.set_stderr(std::move(output.bytes));
        break;
      case StdioOutput::Kind::kExit: {
        response.set_exit_code(output.exit_code);
        exited_ = true;
        ASSIGN_OR_RETURN(bool over, IsOver());
        return over ? rpc::Next::kWriteLast : rpc::Next::kWrite;
      }
    }
    return rpc::Next::kWrite;
  }

 private:
  // Once the process has ended.
  absl::StatusOr<bool> IsOver() {
    std::function<absl::StatusOr<bool>()> ends;
    {
      absl::MutexLock lock(&state_->mu);
      ends = state_->ends;
    }
    if (ends == nullptr) return true;
    return ends();
  }

  // Shared with the work on the pool, which may outlive the call.
  struct State {
    absl::Mutex mu;
    bool gone ABSL_GUARDED_BY(mu) = false;
    bool input_done ABSL_GUARDED_BY(mu) = false;
    absl::Status error ABSL_GUARDED_BY(mu);
    std::optional<ProcessStream> stream ABSL_GUARDED_BY(mu);
    std::optional<CreatedContainer> created ABSL_GUARDED_BY(mu);
    std::function<absl::StatusOr<bool>()> ends ABSL_GUARDED_BY(mu);
    std::vector<Request> early ABSL_GUARDED_BY(mu);
  };

  absl::Status OnStart(const typename Request::Start& start) {
    if (std::exchange(started_, true)) return absl::InvalidArgumentError("a second `start`");
    detach_ = IsDetached(start);
    pool_.Post(key_, [state = state_, waker = waker_, begin = begin_, start] {
      absl::StatusOr<Begun> begun = begin(start, [waker] { waker->Wake(); });
      {
        absl::MutexLock lock(&state->mu);
        if (!begun.ok()) {
          state->error = begun.status();
        } else if (state->gone) {
          begun->stream.stdio->Close();
        } else {
          for (Request& request : state->early) {
            absl::Status applied = Apply(begun->stream, request);
            if (!applied.ok()) state->error = applied;
          }
          state->early.clear();
          if (state->input_done) begun->stream.stdio->CloseInput();
          state->stream = std::move(begun->stream);
          state->created = std::move(begun->created);
          state->ends = std::move(begun->ends);
        }
      }
      waker->Wake();
    });
    return absl::OkStatus();
  }

  static bool IsDetached(const v1::ExecRequest::Start& start) { return start.detach(); }
  static bool IsDetached(const v1::AttachRequest::Start&) { return false; }

  static absl::Status Apply(ProcessStream& stream, const Request& request) {
    if (request.has_stdin()) {
      stream.stdio->Write(request.stdin());
    } else if (request.has_resize()) {
      return stream.resize(request.resize().columns(), request.resize().rows());
    } else if (request.has_stdin_closed()) {
      stream.stdio->CloseInput();
    } else {
      return ApplyOther(stream, request);
    }
    return absl::OkStatus();
  }
  static absl::Status ApplyOther(ProcessStream& stream, const v1::ExecRequest& request) {
    if (!request.has_signal()) return absl::InvalidArgumentError("an empty message");
    ASSIGN_OR_RETURN(int signal, ParseSignal(request.signal()));
    return stream.signal(signal);
  }
  static absl::Status ApplyOther(ProcessStream&, const v1::AttachRequest&) {
    return absl::InvalidArgumentError("an empty message");
  }

  using Created = std::optional<CreatedContainer>;
  static void Announce(const ProcessStream& stream, const Created&, v1::ExecResponse& response) {
    response.set_started(stream.pid);
  }
  static void Announce(const ProcessStream&, const Created& created, v1::AttachResponse& response) {
    if (!created) return response.set_attached(true);
    ToProto(*created, *response.mutable_created());
  }

  const std::shared_ptr<State> state_ = std::make_shared<State>();
  const std::shared_ptr<rpc::Waker> waker_;
  SerialPool& pool_;
  const std::string key_;
  const Begin begin_;
  bool started_ = false;
  bool announced_ = false;
  bool exited_ = false;
  std::atomic<bool> detach_{false};
};

// Answers whether a container that removes itself is gone; wakes when that changes. To be made
// before its start: it may be gone right after.
std::function<absl::StatusOr<bool>()> UntilGone(ContainerEngine& engine, const std::string& id,
                                                std::function<void()> wake) {
  std::shared_ptr<ChangeHub::Subscription> changes =
      engine.changes().Subscribe(id, std::move(wake));
  return [&engine, id, changes]() -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(WaitAnswer gone, engine.CheckWait(id, WaitCondition::kRemoved));
    return gone.holds;
  };
}

absl::Status AttachTo(ContainerEngine& engine, const std::string& container,
                      const v1::AttachRequest::Start& start, const std::function<void()>& wake,
                      ProcessStream& stream) {
  ASSIGN_OR_RETURN(stream, engine.Attach(container, start.stdin(), wake));
  if (!start.has_size() || start.size().columns() == 0) return absl::OkStatus();
  return stream.resize(start.size().columns(), start.size().rows());
}

absl::StatusOr<Begun> BeginAttach(ContainerEngine& engine, const v1::AttachRequest::Start& start,
                                  const std::string& actor, const std::function<void()>& wake) {
  Begun begun;
  absl::Cleanup close = [&begun] {
    if (begun.stream.stdio != nullptr) begun.stream.stdio->Close();
  };
  if (start.has_create()) {
    if (!start.container().empty() || start.starts_container()) {
      return absl::InvalidArgumentError("create: stands for container and starts_container");
    }
    auto attach = [&](const ContainerRecord& record) -> absl::Status {
      if (record.spec.auto_remove()) begun.ends = UntilGone(engine, record.id, wake);
      return AttachTo(engine, record.id, start, wake, begun.stream);
    };
    ASSIGN_OR_RETURN(begun.created, engine.Run(start.create(), "", actor, attach));
  } else {
    RETURN_IF_ERROR(AttachTo(engine, start.container(), start, wake, begun.stream));
    if (start.starts_container()) {
      ASSIGN_OR_RETURN(std::string id, engine.FindForWait(start.container()));
      begun.ends = UntilGone(engine, id, wake);
      ASSIGN_OR_RETURN(ContainerRecord started, engine.Start(id, actor));
      if (!started.spec.auto_remove()) begun.ends = nullptr;
    }
  }
  std::move(close).Cancel();
  return begun;
}

// Each call has a key of its own on the pool: nobody waits for another one's shim.
std::string CallKey() {
  static std::atomic<uint64_t> next{1};
  return absl::StrCat("call ", next.fetch_add(1));
}

}  // namespace

grpc::ServerUnaryReactor* ContainerRpc::WaitContainer(grpc::CallbackServerContext*,
                                                      const v1::WaitContainerRequest* request,
                                                      v1::WaitContainerResponse* response) {
  return new WaitReactor(engine_, *request, *response);
}

grpc::ServerWriteReactor<v1::ReadLogsResponse>* ContainerRpc::ReadLogs(
    grpc::CallbackServerContext*, const v1::ReadLogsRequest* request) {
  auto waker = std::make_shared<rpc::Waker>();
  absl::StatusOr<std::unique_ptr<LogFollower>> opened = engine_.OpenLog(
      request->container(), FromProto(*request), request->follow(), [waker] { waker->Wake(); });
  return rpc::StreamFrom<v1::ReadLogsResponse>(
      waker,
      [opened =
           std::move(opened)](v1::ReadLogsResponse& response) mutable -> absl::StatusOr<rpc::Next> {
        RETURN_IF_ERROR(opened.status());
        ASSIGN_OR_RETURN(std::optional<std::vector<LogRecord>> records, (*opened)->Next());
        if (!records) return rpc::Next::kEnd;
        for (const LogRecord& record : *records) ToProto(record, *response.add_lines());
        return records->empty() ? rpc::Next::kWait : rpc::Next::kWrite;
      });
}

grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>* ContainerRpc::Attach(
    grpc::CallbackServerContext* context) {
  auto waker = std::make_shared<rpc::Waker>();
  auto begin = [this, actor = rpc::Actor(*context)](const v1::AttachRequest::Start& start,
                                                    const std::function<void()>& wake) {
    return BeginAttach(engine_, start, actor, wake);
  };
  return rpc::StartBidi<v1::AttachRequest, v1::AttachResponse>(
      waker, std::make_unique<StdioCall<v1::AttachRequest, v1::AttachResponse>>(waker, pool_,
                                                                                CallKey(), begin));
}

grpc::ServerBidiReactor<v1::ExecRequest, v1::ExecResponse>* ContainerRpc::Exec(
    grpc::CallbackServerContext* context) {
  auto waker = std::make_shared<rpc::Waker>();
  auto begin = [this, actor = rpc::Actor(*context)](
                   const v1::ExecRequest::Start& start,
                   std::function<void()> wake) -> absl::StatusOr<Begun> {
    Begun begun;
    ASSIGN_OR_RETURN(begun.stream,
                     engine_.Exec(start.container(), FromProto(start), actor, std::move(wake)));
    return begun;
  };
  return rpc::StartBidi<v1::ExecRequest, v1::ExecResponse>(
      waker, std::make_unique<StdioCall<v1::ExecRequest, v1::ExecResponse>>(waker, pool_, CallKey(),
                                                                            begin));
}

}  // namespace darse::runtime
