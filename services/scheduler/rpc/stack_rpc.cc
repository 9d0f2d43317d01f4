#include "services/scheduler/rpc/stack_rpc.h"

#include <google/protobuf/util/message_differencer.h>

#include <memory>
#include <utility>

#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"

namespace darse::scheduler {
namespace {

constexpr int kPage = 100;

void LogCall(const char* verb, const grpc::ServerContext& context, const std::string& stack,
             const absl::Status& status) {
  Log(LogLevel::kInfo, verb,
      {{"stack", stack},
       {"actor", rpc::Actor(context)},
       {"status", std::string(status.ok() ? "ok" : status.message())}});
}

// One watcher: the stack whenever it changed, with the sentences since the answer before.
class StackWatch {
 public:
  StackWatch(StackEngine& engine, StackBoard& board, const v1::WatchStackRequest& request,
             std::shared_ptr<rpc::Waker> waker)
      : engine_(engine),
        board_(board),
        request_(request),
        sequence_(board.NewestSequence()),
        handle_(board.Subscribe([waker] { waker->Wake(); })) {}

  absl::StatusOr<rpc::Next> Next(v1::WatchStackResponse& response) {
    if (ended_) return rpc::Next::kEnd;
    StackBoard::News news = board_.Since(request_.name(), sequence_);
    absl::StatusOr<v1::Stack> stack = engine_.Get(request_.name());
    if (!stack.ok() && !seen_) return stack.status();
    // Not by its bytes: labels come in any order.
    const bool same =
        stack.ok() && google::protobuf::util::MessageDifferencer::Equals(*stack, shown_);
    if (seen_ && same && news.sentences.empty()) return rpc::Next::kWait;
    seen_ = true;
    if (stack.ok()) shown_ = *stack;
    sequence_ = news.sequence;
    for (std::string& sentence : news.sentences) response.add_progress(std::move(sentence));
    if (!stack.ok()) {
      ended_ = true;
      return rpc::Next::kWrite;
    }
    const bool settled =
        stack->state() == v1::STACK_STATE_READY || stack->state() == v1::STACK_STATE_FAILED;
    if (request_.until_settled() && settled) ended_ = true;
    *response.mutable_stack() = *std::move(stack);
    return rpc::Next::kWrite;
  }

 private:
  StackEngine& engine_;
  StackBoard& board_;
  const v1::WatchStackRequest request_;
  uint64_t sequence_;
  v1::Stack shown_;
  bool seen_ = false;
  bool ended_ = false;
  StackBoard::Handle handle_;
};

}  // namespace

grpc::Status StackRpc::ApplyStack(grpc::ServerContext* context,
                                  const v1::ApplyStackRequest* request,
                                  v1::ApplyStackResponse* response) {
  absl::StatusOr<ApplyAnswer> answer = engine_.Apply(*request);
  LogCall("apply stack", *context, request->spec().name(), answer.status());
  if (!answer.ok()) return rpc::ToGrpc(answer.status());
  response->set_revision(answer->revision);
  response->set_changed(answer->changed);
  for (const Step& step : answer->plan) *response->add_plan() = step.ToProto();
  for (std::string& orphan : answer->orphans) response->add_orphans(std::move(orphan));
  response->set_waiting(answer->waiting);
  return grpc::Status::OK;
}

grpc::Status StackRpc::PlanStack(grpc::ServerContext*, const v1::PlanStackRequest* request,
                                 v1::PlanStackResponse* response) {
  absl::StatusOr<std::vector<Step>> steps = engine_.PlanOnly(*request);
  if (!steps.ok()) return rpc::ToGrpc(steps.status());
  for (const Step& step : *steps) *response->add_steps() = step.ToProto();
  return grpc::Status::OK;
}

grpc::Status StackRpc::GetStack(grpc::ServerContext*, const v1::GetStackRequest* request,
                                v1::GetStackResponse* response) {
  absl::StatusOr<v1::Stack> stack = engine_.Get(request->name());
  if (!stack.ok()) return rpc::ToGrpc(stack.status());
  *response->mutable_stack() = *std::move(stack);
  return grpc::Status::OK;
}

grpc::Status StackRpc::ListStacks(grpc::ServerContext*, const v1::ListStacksRequest* request,
                                  v1::ListStacksResponse* response) {
  const size_t most = request->page_size() > 0 ? request->page_size() : kPage;
  std::vector<v1::Stack> stacks = engine_.List(request->page_token(), most);
  if (stacks.size() == most) response->set_next_page_token(stacks.back().spec().name());
  for (v1::Stack& stack : stacks) *response->add_stacks() = std::move(stack);
  return grpc::Status::OK;
}

grpc::ServerWriteReactor<v1::WatchStackResponse>* StackRpc::WatchStack(
    grpc::CallbackServerContext*, const v1::WatchStackRequest* request) {
  auto waker = std::make_shared<rpc::Waker>();
  auto watch = std::make_shared<StackWatch>(engine_, board_, *request, waker);
  return rpc::StreamFrom<v1::WatchStackResponse>(
      waker, [watch](v1::WatchStackResponse& response) { return watch->Next(response); });
}

grpc::Status StackRpc::DeleteStack(grpc::ServerContext* context,
                                   const v1::DeleteStackRequest* request,
                                   v1::DeleteStackResponse*) {
  std::optional<absl::Duration> timeout;
  if (request->has_timeout()) {
    timeout =
        absl::Seconds(request->timeout().seconds()) + absl::Nanoseconds(request->timeout().nanos());
  }
  const absl::Status status = engine_.Delete(request->name(), request->delete_volumes(), timeout);
  LogCall("delete stack", *context, request->name(), status);
  return rpc::ToGrpc(status);
}

grpc::Status StackRpc::RestartStack(grpc::ServerContext* context,
                                    const v1::RestartStackRequest* request,
                                    v1::RestartStackResponse*) {
  const absl::Status status =
      engine_.Restart(request->name(), {request->services().begin(), request->services().end()});
  LogCall("restart stack", *context, request->name(), status);
  return rpc::ToGrpc(status);
}

grpc::Status StackRpc::HasContext(grpc::ServerContext*, const v1::HasContextRequest* request,
                                  v1::HasContextResponse* response) {
  for (const std::string& digest : request->digests()) {
    absl::StatusOr<bool> here = contexts_.Has(digest);
    if (!here.ok()) return rpc::ToGrpc(here.status());
    if (!*here) response->add_missing_digests(digest);
  }
  return grpc::Status::OK;
}

absl::Status StackRpc::Receive(grpc::ServerReader<v1::UploadContextRequest>& reader) {
  v1::UploadContextRequest request;
  if (!reader.Read(&request)) return absl::InvalidArgumentError("an upload without a message");
  ASSIGN_OR_RETURN(auto incoming, contexts_.Receive(request.digest()));
  do {
    RETURN_IF_ERROR(incoming->Append(request.chunk()));
  } while (reader.Read(&request));
  return incoming->Finish();
}

grpc::Status StackRpc::UploadContext(grpc::ServerContext*,
                                     grpc::ServerReader<v1::UploadContextRequest>* reader,
                                     v1::UploadContextResponse*) {
  return rpc::ToGrpc(Receive(*reader));
}

}  // namespace darse::scheduler
