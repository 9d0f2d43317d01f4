// The whole service in one process, against a runtime that is made up and a cgroup that is real
// (this test's own, so it needs root).
#include "services/metrics/metrics_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "darse/metrics/v1/metrics_service.grpc.pb.h"
#include "darse/runtime/v1/container_service.grpc.pb.h"
#include "darse/runtime/v1/event_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/os/files.h"
#include "libs/os/spawn.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"

namespace darse::metrics {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(30);

bool Eventually(const std::function<bool()>& holds) {
  for (absl::Time end = RealClock().Now() + kLong; RealClock().Now() < end;) {
    if (holds()) return true;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

// A container as the kernel sees it: a cgroup of its own with a process in it.
class RealCgroup {
 public:
  RealCgroup() : path_(absl::StrCat("darse-metrics-test-", ::getpid())) {
    driver_ = cgroup::OpenHostCgroups().value();
    sleeper_ = Process::Spawn({.program = "sleep", .args = {"1000"}}).value();
    EXPECT_TRUE(driver_->Create(path_).ok());
    EXPECT_TRUE(driver_->Attach(path_, sleeper_->pid()).ok());
  }
  ~RealCgroup() {
    EXPECT_TRUE(sleeper_->Kill(SIGKILL).ok());
    EXPECT_TRUE(sleeper_->Wait().ok());
    EXPECT_TRUE(Eventually([&] { return driver_->Delete(path_).ok(); }));
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  std::unique_ptr<cgroup::CgroupDriver> driver_;
  std::optional<Process> sleeper_;
};

class FakeRuntime final : public runtime::v1::EventService::WithCallbackMethod_WatchEvents<
                              runtime::v1::EventService::Service>,
                          public runtime::v1::ContainerService::Service {
 public:
  grpc::Status GetEventPosition(grpc::ServerContext*, const runtime::v1::GetEventPositionRequest*,
                                runtime::v1::GetEventPositionResponse* response) override {
    absl::MutexLock lock(&mu_);
    response->set_newest_sequence(events_.empty() ? 0 : events_.back().sequence());
    return grpc::Status::OK;
  }
  grpc::Status ListContainers(grpc::ServerContext*, const runtime::v1::ListContainersRequest*,
                              runtime::v1::ListContainersResponse* response) override {
    runtime::v1::Container& web = *response->add_containers();
    web.set_id("abc123");
    web.set_name("journal-web-1");
    web.set_state(runtime::v1::CONTAINER_STATE_RUNNING);
    web.set_cgroup_path(cgroup_.path());
    web.mutable_spec()->set_image("journal-web");
    (*web.mutable_spec()->mutable_labels())["darse.stack"] = "journal";
    (*web.mutable_spec()->mutable_labels())["darse.service"] = "web";
    runtime::v1::Container& stopped = *response->add_containers();
    stopped.set_id("def456");
    stopped.set_name("stopped");
    stopped.set_cgroup_path("darse-no-such-cgroup/def456");
    return grpc::Status::OK;
  }
  grpc::ServerWriteReactor<runtime::v1::WatchEventsResponse>* WatchEvents(
      grpc::CallbackServerContext*, const runtime::v1::WatchEventsRequest* request) override {
    auto waker = std::make_shared<rpc::Waker>();
    absl::MutexLock lock(&mu_);
    wakers_.push_back(waker);
    return rpc::StreamFrom<runtime::v1::WatchEventsResponse>(
        waker,
        [this, after = request->after_sequence()](
            runtime::v1::WatchEventsResponse& response) mutable -> absl::StatusOr<rpc::Next> {
          absl::MutexLock pulling(&mu_);
          for (const runtime::v1::Event& event : events_) {
            if (event.sequence() <= after) continue;
            *response.add_events() = event;
            after = event.sequence();
          }
          return response.events().empty() ? rpc::Next::kWait : rpc::Next::kWrite;
        });
  }
  void Append(const std::string& action) {
    absl::MutexLock lock(&mu_);
    runtime::v1::Event event;
    event.set_sequence(static_cast<int64_t>(events_.size()) + 1);
    event.mutable_time()->set_seconds(absl::ToUnixSeconds(RealClock().Now()));
    event.set_kind("container");
    event.set_action(action);
    event.set_id("abc123");
    (*event.mutable_attributes())["name"] = "journal-web-1";
    (*event.mutable_attributes())["darse.stack"] = "journal";
    (*event.mutable_attributes())["darse.service"] = "web";
    (*event.mutable_attributes())["exitCode"] = "3";
    events_.push_back(event);
    for (auto& waker : wakers_) waker->Wake();
  }

 private:
  absl::Mutex mu_;
  std::vector<runtime::v1::Event> events_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<rpc::Waker>> wakers_ ABSL_GUARDED_BY(mu_);
  const RealCgroup cgroup_;
};

class MetricsServerTest : public testing::Test {
 protected:
  MetricsServerTest() {
    char name[] = "/tmp/darse-metrics-XXXXXX";
    directory_ = ::mkdtemp(name);
    settings_.root = directory_ + "/root";
    settings_.run = directory_ + "/run";
    settings_.metrics_http = "127.0.0.1:0";
    MakeDirectories(settings_.run).IgnoreError();
    stub_ = v1::MetricsService::NewStub(rpc::UnixChannel(settings_.SocketPath("metrics")));
  }
  ~MetricsServerTest() override {
    server_.reset();
    runtime_server_.reset();
    RemoveTree(directory_).IgnoreError();
  }
  void Start() {
    auto server = MetricsServer::Start(settings_, clock_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void StartRuntime() {
    auto server =
        rpc::Server::Start({.socket_path = settings_.SocketPath("runtime")},
                           {static_cast<runtime::v1::EventService::Service*>(&runtime_),
                            static_cast<runtime::v1::ContainerService::Service*>(&runtime_)});
    ASSERT_TRUE(server.ok()) << server.status();
    runtime_server_ = *std::move(server);
  }
  v1::Frame Frame() {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kLong);
    v1::WatchFramesRequest request;
    request.set_once(true);
    auto reader = stub_->WatchFrames(&context, request);
    v1::WatchFramesResponse response;
    EXPECT_TRUE(reader->Read(&response));
    v1::WatchFramesResponse none;
    EXPECT_FALSE(reader->Read(&none));
    EXPECT_TRUE(reader->Finish().ok());
    return response.frame();
  }
  v1::GetStatusResponse Status() {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kLong);
    v1::GetStatusResponse response;
    EXPECT_TRUE(stub_->GetStatus(&context, {}, &response).ok());
    return response;
  }
  std::vector<std::string> Marks() {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kLong);
    v1::ListMarksResponse response;
    EXPECT_TRUE(stub_->ListMarks(&context, {}, &response).ok());
    std::vector<std::string> marks;
    for (const v1::Mark& mark : response.marks()) {
      marks.push_back(absl::StrCat(mark.subject(), " ", mark.action(), " ", mark.text()));
    }
    return marks;
  }
  int Points(const std::string& subject, const std::string& metric) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kLong);
    v1::QuerySeriesRequest request;
    request.mutable_series()->set_subject(subject);
    request.mutable_series()->set_metric(metric);
    int64_t now = absl::ToUnixSeconds(RealClock().Now());
    request.mutable_start_time()->set_seconds(now - 60);
    request.mutable_end_time()->set_seconds(now + 2);
    v1::QuerySeriesResponse response;
    grpc::Status status = stub_->QuerySeries(&context, request, &response);
    return status.ok() ? response.points_size() : -1;
  }

  RealClock clock_;
  std::string directory_;
  Settings settings_;
  FakeRuntime runtime_;
  std::unique_ptr<rpc::Server> runtime_server_;
  std::unique_ptr<MetricsServer> server_;
  std::unique_ptr<v1::MetricsService::Stub> stub_;
};

TEST_F(MetricsServerTest, AloneItSamplesTheHostAndSaysThatTheRuntimeIsMissing) {
  Start();
  v1::Frame frame = Frame();
  EXPECT_GT(frame.host().memory_total_bytes(), 0);
  EXPECT_GT(frame.host().core_percent_size(), 0);
  EXPECT_TRUE(frame.has_runtime_missing_since());
  EXPECT_EQ(frame.containers_size(), 0);
  EXPECT_TRUE(Eventually([&] { return Points("host", "memory_available_bytes") >= 2; }));
  EXPECT_TRUE(Status().has_runtime_missing_since());
}

TEST_F(MetricsServerTest, ContainersAreSampledAlsoWhileTheRuntimeIsAway) {
  StartRuntime();
  Start();
  ASSERT_TRUE(Eventually([&] { return Points("journal/web/1", "cpu_percent") >= 1; }));
  v1::Frame frame = Frame();
  ASSERT_EQ(frame.containers_size(), 1);
  EXPECT_EQ(frame.containers(0).name(), "journal-web-1");
  EXPECT_EQ(frame.containers(0).state(), "running");
  EXPECT_FALSE(frame.has_runtime_missing_since());
  runtime_server_.reset();
  ASSERT_TRUE(Eventually([&] { return Frame().has_runtime_missing_since(); }));
  EXPECT_EQ(Frame().containers_size(), 1);
  // Nor does it forget them when it is started anew itself.
  server_.reset();
  Start();
  EXPECT_EQ(Frame().containers_size(), 1);
}

TEST_F(MetricsServerTest, EveryEventIsMarkedOnceWhoeverWasAway) {
  runtime_.Append("start");  // Before this service ever ran: not its history.
  StartRuntime();
  Start();
  ASSERT_TRUE(Eventually([&] { return Status().event_sequence() == 1; }));
  runtime_.Append("die");
  ASSERT_TRUE(Eventually([&] { return Status().event_sequence() == 2; }));
  server_.reset();
  runtime_.Append("start");
  runtime_server_.reset();
  Start();
  runtime_.Append("oom");
  StartRuntime();
  ASSERT_TRUE(Eventually([&] { return Status().event_sequence() == 4; }));
  EXPECT_THAT(Marks(), ElementsAre("journal/web/1 die exit code 3", "journal/web/1 start ",
                                   "journal/web/1 oom "));
}

TEST_F(MetricsServerTest, HistoryIsThereAfterARestart) {
  StartRuntime();
  Start();
  ASSERT_TRUE(Eventually([&] { return Points("journal/web/1", "cpu_percent") >= 2; }));
  int before = Points("journal/web/1", "cpu_percent");
  server_.reset();
  Start();
  EXPECT_GE(Points("journal/web/1", "cpu_percent"), before);
  grpc::ClientContext context;
  v1::ListSeriesRequest request;
  request.set_subject("journal/web/1");
  v1::ListSeriesResponse response;
  ASSERT_TRUE(stub_->ListSeries(&context, request, &response).ok());
  EXPECT_GE(response.series_size(), 12);
}

TEST_F(MetricsServerTest, PrometheusTextIsServedOverHttp) {
  StartRuntime();
  Start();
  ASSERT_TRUE(Eventually([&] { return Frame().containers_size() == 1; }));
  std::vector<std::string> parts = absl::StrSplit(Status().http_address(), ':');
  ASSERT_EQ(parts.size(), 2u);
  int port = 0;
  ASSERT_TRUE(absl::SimpleAtoi(parts[1], &port));
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_TRUE(WriteFd(fd.get(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok());
  std::string answer = ReadFd(fd.get()).value();
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("darse_container_cpu_seconds_total{name=\"journal-web-1\""));
  EXPECT_THAT(answer, HasSubstr("darse_runtime_up 1\n"));
}

TEST_F(MetricsServerTest, AnUnknownSeriesIsNotFoundAndABadRangeIsInvalid) {
  Start();
  auto code = [&](const std::string& subject, const std::string& metric, int64_t start, int64_t end,
                  int64_t step_nanos) {
    grpc::ClientContext context;
    v1::QuerySeriesRequest request;
    request.mutable_series()->set_subject(subject);
    request.mutable_series()->set_metric(metric);
    request.mutable_start_time()->set_seconds(start);
    request.mutable_end_time()->set_seconds(end);
    if (step_nanos != 0) request.mutable_step()->set_nanos(static_cast<int32_t>(step_nanos));
    v1::QuerySeriesResponse response;
    return stub_->QuerySeries(&context, request, &response).error_code();
  };
  EXPECT_EQ(code("nobody", "cpu_percent", 1, 2, 0), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code("host", "no_such_metric", 1, 2, 0), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code("host", "cpu_percent", 2, 1, 0), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code("host", "cpu_percent", 1, 2, 1000), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace darse::metrics
