// Server, channel, status, streams and peer link together, over real sockets.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "darse/runtime/v1/container_service.grpc.pb.h"
#include "darse/runtime/v1/event_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/base/reason.h"
#include "libs/os/files.h"
#include "libs/rpc/bidi_stream.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/peer_link.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"

namespace darse::rpc {
namespace {

using runtime::v1::AttachRequest;
using runtime::v1::AttachResponse;
using runtime::v1::ContainerService;
using runtime::v1::EventService;
using runtime::v1::GetEventPositionRequest;
using runtime::v1::GetEventPositionResponse;
using runtime::v1::WatchEventsRequest;
using runtime::v1::WatchEventsResponse;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr absl::Duration kLong = absl::Seconds(20);

bool Eventually(const std::function<bool()>& holds) {
  for (absl::Time end = absl::Now() + kLong; absl::Now() < end;) {
    if (holds()) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

// Numbers that grow on request, as a stand-in for an event log.
class FakeEventRpc final
    : public EventService::WithCallbackMethod_WatchEvents<EventService::Service> {
 public:
  grpc::Status GetEventPosition(grpc::ServerContext* context, const GetEventPositionRequest*,
                                GetEventPositionResponse* response) override {
    if (!answer_.ok()) return ToGrpc(answer_);
    {
      absl::MutexLock lock(&mu_);
      actor_ = Actor(*context);
    }
    response->set_newest_sequence(newest_);
    return grpc::Status::OK;
  }
  grpc::ServerWriteReactor<WatchEventsResponse>* WatchEvents(
      grpc::CallbackServerContext*, const WatchEventsRequest* request) override {
    auto waker = std::make_shared<Waker>();
    {
      absl::MutexLock lock(&mu_);
      wakers_.push_back(waker);
    }
    auto alive = std::shared_ptr<int>(new int(0), [this](int* p) {
      delete p;
      --streams_;
    });
    ++streams_;
    return StreamFrom<WatchEventsResponse>(
        waker,
        [this, alive, follow = request->follow(), next = request->after_sequence() + 1](
            WatchEventsResponse& response) mutable -> absl::StatusOr<Next> {
          if (!answer_.ok()) return answer_;
          for (; next <= newest_; ++next) response.add_events()->set_sequence(next);
          if (response.events_size() > 0) return follow ? Next::kWrite : Next::kWriteLast;
          return follow ? Next::kWait : Next::kEnd;
        });
  }

  void Append() {
    ++newest_;
    absl::MutexLock lock(&mu_);
    for (auto& waker : wakers_) waker->Wake();
  }
  std::string actor() {
    absl::MutexLock lock(&mu_);
    return actor_;
  }

  absl::Status answer_;
  std::atomic<int64_t> newest_{0};
  std::atomic<int> streams_{0};

 private:
  absl::Mutex mu_;
  std::string actor_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<Waker>> wakers_ ABSL_GUARDED_BY(mu_);
};

// Sends stdin back as output; ends with exit code 7 when the client has sent all.
class EchoSession final : public BidiSession<AttachRequest, AttachResponse> {
 public:
  EchoSession(std::shared_ptr<Waker> waker, std::atomic<int>* alive)
      : waker_(std::move(waker)), alive_(alive) {
    ++*alive_;
  }
  ~EchoSession() override { --*alive_; }

  absl::Status OnRequest(AttachRequest& request) override {
    if (request.stdin() == "bad") return WithReason(absl::InvalidArgumentError("bad input"), "BAD");
    absl::MutexLock lock(&mu_);
    pending_.push_back(request.stdin());
    return absl::OkStatus();
  }
  void OnRequestsDone() override {
    absl::MutexLock lock(&mu_);
    done_ = true;
  }
  bool WantsRequest() override {
    absl::MutexLock lock(&mu_);
    return pending_.size() < 4;
  }
  absl::StatusOr<Next> Pull(AttachResponse& response) override {
    absl::MutexLock lock(&mu_);
    if (!pending_.empty()) {
      response.set_stdout(pending_.front());
      pending_.pop_front();
      waker_->Wake();
      return Next::kWrite;
    }
    if (!done_) return Next::kWait;
    response.set_exit_code(7);
    return Next::kWriteLast;
  }

 private:
  const std::shared_ptr<Waker> waker_;
  std::atomic<int>* const alive_;
  absl::Mutex mu_;
  std::deque<std::string> pending_ ABSL_GUARDED_BY(mu_);
  bool done_ ABSL_GUARDED_BY(mu_) = false;
};

class FakeContainerRpc final
    : public ContainerService::WithCallbackMethod_Attach<ContainerService::Service> {
 public:
  grpc::ServerBidiReactor<AttachRequest, AttachResponse>* Attach(
      grpc::CallbackServerContext*) override {
    auto waker = std::make_shared<Waker>();
    return StartBidi<AttachRequest, AttachResponse>(waker,
                                                    std::make_unique<EchoSession>(waker, &alive_));
  }
  std::atomic<int> alive_{0};
};

class RpcTest : public testing::Test {
 protected:
  RpcTest() {
    char name[] = "/tmp/darse-rpc-XXXXXX";
    directory_ = ::mkdtemp(name);
    Serve();
    channel_ = UnixChannel(socket());
    events_ = EventService::NewStub(channel_);
  }
  ~RpcTest() override {
    server_.reset();
    RemoveTree(directory_).IgnoreError();
  }
  std::string socket() const { return directory_ + "/test.sock"; }
  void Serve() {
    auto server = Server::Start({.socket_path = socket()}, {&event_rpc_, &container_rpc_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  absl::Status GetPosition(absl::Duration timeout = kLong) {
    grpc::ClientContext context;
    SetTimeout(context, timeout);
    GetEventPositionResponse response;
    grpc::Status status = events_->GetEventPosition(&context, {}, &response);
    auto found = context.GetServerTrailingMetadata().find(kReasonKey);
    trailing_reason_ = found == context.GetServerTrailingMetadata().end()
                           ? ""
                           : std::string(found->second.data(), found->second.size());
    return FromGrpc(status);
  }

  std::string directory_;
  FakeEventRpc event_rpc_;
  FakeContainerRpc container_rpc_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<EventService::Stub> events_;
  std::string trailing_reason_;
};

TEST_F(RpcTest, ACallIsAnsweredAndTheServerKnowsWhoCalled) {
  ASSERT_TRUE(GetPosition().ok());
  EXPECT_EQ(event_rpc_.actor(), absl::StrCat("uid=", ::getuid(), " pid=", ::getpid()));
}

TEST_F(RpcTest, OnlyOwnerAndGroupMayConnect) {
  struct stat file;
  ASSERT_EQ(::stat(socket().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0660u);
}

TEST_F(RpcTest, AnErrorKeepsCodeMessageAndReason) {
  event_rpc_.answer_ = WithReason(absl::FailedPreconditionError("port 80: taken"), "PORT_IN_USE");
  absl::Status status = GetPosition();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "port 80: taken");
  EXPECT_EQ(Reason(status), "PORT_IN_USE");
  EXPECT_EQ(trailing_reason_, "PORT_IN_USE");
  EXPECT_FALSE(PeerIsMissing(status));
}

TEST_F(RpcTest, AnErrorWithoutReasonHasNone) {
  event_rpc_.answer_ = absl::NotFoundError("no such thing");
  EXPECT_EQ(GetPosition(), absl::NotFoundError("no such thing"));
  EXPECT_EQ(trailing_reason_, "");
}

TEST_F(RpcTest, AMissingPeerIsToldFromAnErrorAndFoundAgain) {
  ASSERT_TRUE(GetPosition().ok());
  server_.reset();
  EXPECT_FALSE(Exists(socket()));
  EXPECT_TRUE(PeerIsMissing(GetPosition()));
  Serve();
  absl::Time back = absl::Now();
  EXPECT_TRUE(Eventually([&] { return GetPosition(absl::Seconds(2)).ok(); }));
  EXPECT_LT(absl::Now() - back, absl::Seconds(5));
}

TEST_F(RpcTest, ASecondServerOnTheSameSocketIsRefused) {
  auto second = Server::Start({.socket_path = socket()}, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  EXPECT_TRUE(GetPosition().ok());
}

TEST_F(RpcTest, ASocketLeftByADeadServerIsTakenOver) {
  server_.reset();
  ASSERT_TRUE(WriteFileVolatile(socket(), "").ok());
  Serve();
  EXPECT_TRUE(Eventually([&] { return GetPosition(absl::Seconds(2)).ok(); }));
}

TEST_F(RpcTest, AStreamSendsWhatIsThereAndEnds) {
  for (int i = 0; i < 3; ++i) event_rpc_.Append();
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  WatchEventsRequest request;
  request.set_after_sequence(1);
  auto reader = events_->WatchEvents(&context, request);
  WatchEventsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.events_size(), 2);
  EXPECT_EQ(response.events(1).sequence(), 3);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return event_rpc_.streams_ == 0; }));
}

TEST_F(RpcTest, AFollowingStreamLosesAndDoublesNothing) {
  constexpr int kEvents = 2000;
  std::thread writer([&] {
    for (int i = 0; i < kEvents; ++i) event_rpc_.Append();
  });
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  WatchEventsRequest request;
  request.set_follow(true);
  auto reader = events_->WatchEvents(&context, request);
  WatchEventsResponse response;
  int64_t last = 0;
  while (last < kEvents && reader->Read(&response)) {
    for (const auto& event : response.events()) {
      ASSERT_EQ(event.sequence(), last + 1);
      last = event.sequence();
    }
  }
  writer.join();
  EXPECT_EQ(last, kEvents);
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return event_rpc_.streams_ == 0; }));
}

TEST_F(RpcTest, AStreamEndsWithTheErrorOfItsSource) {
  event_rpc_.answer_ = WithReason(absl::OutOfRangeError("gone"), "EVENTS_TRIMMED");
  grpc::ClientContext context;
  auto reader = events_->WatchEvents(&context, {});
  WatchEventsResponse response;
  EXPECT_FALSE(reader->Read(&response));
  absl::Status status = FromGrpc(reader->Finish());
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Reason(status), "EVENTS_TRIMMED");
}

TEST_F(RpcTest, ManyStreamsComeAndGoAtOnce) {
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) {
      event_rpc_.Append();
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> clients;
  for (int t = 0; t < 4; ++t) {
    clients.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        grpc::ClientContext context;
        WatchEventsRequest request;
        request.set_follow(true);
        request.set_after_sequence(event_rpc_.newest_);
        auto reader = events_->WatchEvents(&context, request);
        WatchEventsResponse response;
        if (i % 2 == 0) {
          EXPECT_TRUE(reader->Read(&response));
        }
        context.TryCancel();
        reader->Finish();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  stop = true;
  writer.join();
  EXPECT_TRUE(Eventually([&] { return event_rpc_.streams_ == 0; }));
}

TEST_F(RpcTest, ABidiStreamEchoesEverythingInOrder) {
  auto stub = ContainerService::NewStub(channel_);
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  auto stream = stub->Attach(&context);
  constexpr int kMessages = 300;
  std::thread writer([&] {
    for (int i = 0; i < kMessages; ++i) {
      AttachRequest request;
      request.set_stdin(absl::StrCat(i));
      EXPECT_TRUE(stream->Write(request));
    }
    stream->WritesDone();
  });
  AttachResponse response;
  int next = 0;
  while (stream->Read(&response) && response.has_stdout()) {
    EXPECT_EQ(response.stdout(), absl::StrCat(next++));
  }
  writer.join();
  EXPECT_EQ(response.exit_code(), 7);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(next, kMessages);
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return container_rpc_.alive_ == 0; }));
}

TEST_F(RpcTest, ABidiSessionIsDestroyedWhenTheClientGoesAway) {
  auto stub = ContainerService::NewStub(channel_);
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    auto stream = stub->Attach(&context);
    AttachRequest request;
    request.set_stdin("hello");
    stream->Write(request);
    context.TryCancel();
    stream->Finish();
  }
  EXPECT_TRUE(Eventually([&] { return container_rpc_.alive_ == 0; }));
}

TEST_F(RpcTest, ABidiStreamEndsWithTheErrorOfARequest) {
  auto stub = ContainerService::NewStub(channel_);
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  auto stream = stub->Attach(&context);
  AttachRequest request;
  request.set_stdin("bad");
  stream->Write(request);
  AttachResponse response;
  EXPECT_FALSE(stream->Read(&response));
  absl::Status status = FromGrpc(stream->Finish());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Reason(status), "BAD");
}

TEST_F(RpcTest, StoppingEndsStreamsThatFollow) {
  grpc::ClientContext context;
  SetTimeout(context, kLong);
  WatchEventsRequest request;
  request.set_follow(true);
  event_rpc_.Append();
  auto reader = events_->WatchEvents(&context, request);
  WatchEventsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  server_->Stop(absl::Milliseconds(10));
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_FALSE(reader->Finish().ok());
}

TEST_F(RpcTest, APeerLinkKnowsSinceWhenItsPeerIsMissing) {
  RealClock clock;
  PeerLink link({.peer = "runtime",
                 .socket_path = socket(),
                 .probe_when_missing = absl::Milliseconds(50),
                 .probe_when_present = absl::Milliseconds(50),
                 .probe_timeout = absl::Milliseconds(500)},
                clock);
  ASSERT_TRUE(link.WaitUntilPresent(absl::Now() + kLong));
  EXPECT_TRUE(link.Check().ok());
  absl::Time before = absl::Now();
  server_.reset();
  ASSERT_TRUE(Eventually([&] { return link.MissingSince().has_value(); }));
  EXPECT_GE(*link.MissingSince(), before);
  absl::Status missing = link.Check();
  EXPECT_EQ(missing.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(missing.message()), StartsWith("runtime is missing since "));
  EXPECT_EQ(Reason(missing), "PEER_MISSING");
  Serve();
  EXPECT_TRUE(link.WaitUntilPresent(absl::Now() + kLong));
}

TEST_F(RpcTest, APeerLinkToNobodyEndsAtOnce) {
  FakeClock clock(absl::FromUnixSeconds(77));
  absl::Time before = absl::Now();
  {
    PeerLink link({.peer = "builder", .socket_path = directory_ + "/none.sock"}, clock);
    EXPECT_EQ(link.MissingSince(), absl::FromUnixSeconds(77));
    EXPECT_FALSE(link.WaitUntilPresent(absl::Now() + absl::Milliseconds(50)));
  }
  EXPECT_LT(absl::Now() - before, absl::Seconds(3));
}

}  // namespace
}  // namespace darse::rpc
