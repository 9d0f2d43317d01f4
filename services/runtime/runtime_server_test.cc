// The real process, in a root of its own, with a busybox image, over gRPC.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "darse/runtime/v1/container_service.grpc.pb.h"
#include "darse/runtime/v1/event_service.grpc.pb.h"
#include "darse/runtime/v1/image_service.grpc.pb.h"
#include "darse/runtime/v1/node_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/base/clock.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/netlink/rtnetlink_driver.h"
#include "libs/linux/nft/libnftables_driver.h"
#include "libs/os/files.h"
#include "libs/os/process_identity.h"
#include "libs/os/spawn.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"
#include "services/runtime/networks/network_engine.h"
#include "services/runtime/networks/resolver_supervisor.h"

namespace darse::runtime {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

// One instance for all tests: an own directory, bridges, subnets, nft table and cgroups.
class Instance {
 public:
  Instance() {
    char pattern[] = "/var/tmp/darse-rt-XXXXXX";
    base_ = mkdtemp(pattern);
    tag_ = absl::StrCat("t", absl::Hex(getpid() % 0xffff));
    CopyPrograms();
    StartRuntime();
    ImportBusybox();
  }

  ~Instance() {
    DeleteAll();
    runtime_->Kill(SIGTERM).IgnoreError();
    runtime_->WaitFor(kPatience).status().IgnoreError();
    StopResolver(run()).IgnoreError();
    netlink::RtnetlinkDriver links;
    nft::LibnftablesDriver rules(table());
    TearDownNetworks(links, rules, {.bridge_prefix = tag_, .run_dir = run(), .nft_table = table()})
        .IgnoreError();
    if (absl::StatusOr<std::unique_ptr<cgroup::CgroupDriver>> cgroups = cgroup::OpenHostCgroups();
        cgroups.ok()) {
      (*cgroups)->Delete("darse-" + tag_).IgnoreError();
    }
    RemoveTree(base_).IgnoreError();
  }

  std::string root() const { return base_ + "/root"; }
  std::string run() const { return base_ + "/run"; }
  std::string table() const { return "darse_" + tag_; }
  Process& runtime() { return *runtime_; }

  void StartRuntime() {
    SpawnOptions options;
    options.program = base_ + "/bin/darse-runtime";
    options.args = {"--root", root(), "--run", run()};
    int pool = 100 + static_cast<int>(getpid() % 90);
    options.env = std::vector<std::string>{"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                           "DARSE_CONFIG=/dev/null",
                                           "DARSE_NETWORK_BRIDGE_PREFIX=" + tag_,
                                           absl::StrCat("DARSE_NETWORK_POOL=10.", pool, ".0.0/16"),
                                           "DARSE_NETWORK_NFT_TABLE=" + table(),
                                           "DARSE_CGROUP_PARENT=darse-" + tag_,
                                           "DARSE_LOG_LEVEL=debug"};
    log_.Reset(
        open((base_ + "/runtime.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    options.fds = {{log_.get(), 1}, {log_.get(), 2}};
    absl::StatusOr<Process> process = Process::Spawn(options);
    if (!process.ok()) abort();
    runtime_.emplace(*std::move(process));
    std::shared_ptr<grpc::Channel> channel = rpc::UnixChannel(run() + "/runtime.sock");
    containers = v1::ContainerService::NewStub(channel);
    images = v1::ImageService::NewStub(channel);
    events = v1::EventService::NewStub(channel);
    node = v1::NodeService::NewStub(channel);
    absl::Time deadline = RealClock().Now() + kPatience;
    while (RealClock().Now() < deadline) {
      grpc::ClientContext context;
      rpc::SetTimeout(context, absl::Seconds(2));
      v1::GetNodeResponse response;
      if (node->GetNode(&context, {}, &response).ok()) return;
      absl::SleepFor(absl::Milliseconds(20));
    }
    std::fprintf(stderr, "%s\n", ReadFile(base_ + "/runtime.log").value_or("").c_str());
    abort();
  }

  void KillRuntime() {
    runtime_->Kill(SIGKILL).IgnoreError();
    runtime_->Wait().status().IgnoreError();
  }

  std::string Log() { return ReadFile(base_ + "/runtime.log").value_or(""); }

  std::unique_ptr<v1::ContainerService::Stub> containers;
  std::unique_ptr<v1::ImageService::Stub> images;
  std::unique_ptr<v1::EventService::Stub> events;
  std::unique_ptr<v1::NodeService::Stub> node;

 private:
  void CopyPrograms() {
    std::filesystem::create_directory(base_ + "/bin");
    for (const char* program :
         {"services/runtime/darse-runtime", "services/runtime/init/darse-init",
          "services/runtime/unpack/darse-unpack", "services/shim/darse-shim",
          "services/resolver/darse-dns"}) {
      std::filesystem::path source = program;
      std::filesystem::copy_file(std::filesystem::canonical(source),
                                 std::filesystem::path(base_) / "bin" / source.filename());
    }
  }

  void ImportBusybox() {
    std::string rootfs = base_ + "/rootfs";
    for (const char* directory : {"bin", "etc", "data", "tmp"}) {
      std::filesystem::create_directories(rootfs + "/" + directory);
    }
    std::filesystem::copy_file("/bin/busybox", rootfs + "/bin/busybox");
    for (const char* applet : {"sh", "sleep", "cat", "echo", "true", "id", "hostname", "env", "ls",
                               "kill", "test", "tty", "stty", "touch", "seq", "grep", "wget"}) {
      std::filesystem::create_symlink("busybox", rootfs + "/bin/" + applet);
    }
    WriteFileVolatile(rootfs + "/etc/passwd",
                      "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1235:app:/home/app:/bin/sh\n")
        .IgnoreError();
    WriteFileVolatile(rootfs + "/data/seed", "from the image\n").IgnoreError();
    WriteFileVolatile(rootfs + "/etc/group", "root:x:0:\napp:x:1235:\nwww:x:33:app\n")
        .IgnoreError();
    absl::StatusOr<ProgramOutput> tar =
        RunProgram({.program = "tar", .args = {"--owner=0", "--group=0", "-C", rootfs, "-c", "."}},
                   "", kPatience);
    if (!tar.ok() || tar->exit.code != 0) abort();
    grpc::ClientContext context;
    v1::ImportImageResponse response;
    std::unique_ptr<grpc::ClientWriter<v1::ImportImageRequest>> writer =
        images->ImportImage(&context, &response);
    v1::ImportImageRequest start;
    start.mutable_start()->set_reference("busybox");
    start.mutable_start()->set_config_json(
        R"({"Cmd":["sh"],"Env":["FROM_IMAGE=yes"],"Volumes":{"/data":{}}})");
    writer->Write(start);
    for (size_t at = 0; at < tar->out.size(); at += 512 << 10) {
      v1::ImportImageRequest chunk;
      chunk.set_chunk(tar->out.substr(at, 512 << 10));
      writer->Write(chunk);
    }
    writer->WritesDone();
    grpc::Status imported = writer->Finish();
    if (!imported.ok()) {
      std::fprintf(stderr, "import: %s\n%s", imported.error_message().c_str(), Log().c_str());
      abort();
    }
  }

  void DeleteAll() {
    grpc::ClientContext context;
    v1::ListContainersResponse all;
    if (!containers->ListContainers(&context, {}, &all).ok()) return;
    for (const v1::Container& container : all.containers()) {
      grpc::ClientContext delete_context;
      v1::DeleteContainerRequest request;
      v1::DeleteContainerResponse response;
      request.set_container(container.id());
      request.set_force(true);
      request.set_delete_volumes(true);
      containers->DeleteContainer(&delete_context, request, &response);
    }
  }

  std::string base_;
  std::string tag_;
  UniqueFd log_;
  std::optional<Process> runtime_;
};

class RuntimeServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { instance_ = new Instance; }
  static void TearDownTestSuite() {
    delete instance_;
    instance_ = nullptr;
  }
  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "%s\n", instance_->Log().c_str());
  }

  static v1::ContainerSpec Shell(const std::string& script) {
    v1::ContainerSpec spec;
    spec.set_image("busybox");
    for (const std::string& arg : {std::string("sh"), std::string("-c"), script}) {
      spec.mutable_command()->add_args(arg);
    }
    return spec;
  }

  // Output of an attachment, and the exit code at its end.
  static std::string ReadToEnd(
      grpc::ClientReaderWriterInterface<v1::AttachRequest, v1::AttachResponse>& stream, int& code) {
    std::string out;
    v1::AttachResponse response;
    while (stream.Read(&response)) {
      out += response.stdout();
      if (response.has_exit_code()) code = response.exit_code();
    }
    EXPECT_TRUE(stream.Finish().ok());
    return out;
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::ContainerService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kPatience);
    Response response;
    absl::Status status =
        rpc::FromGrpc((instance_->containers.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<v1::Container> Run(const v1::ContainerSpec& spec,
                                    const std::string& request_id = "") {
    v1::RunContainerRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    ASSIGN_OR_RETURN(v1::RunContainerResponse response,
                     Call(&v1::ContainerService::Stub::RunContainer, request));
    return response.container();
  }
  absl::StatusOr<v1::Container> Get(const std::string& id) {
    v1::GetContainerRequest request;
    request.set_container(id);
    ASSIGN_OR_RETURN(v1::GetContainerResponse response,
                     Call(&v1::ContainerService::Stub::GetContainer, request));
    return response.container();
  }
  absl::StatusOr<int> Wait(const std::string& id, v1::WaitContainerRequest::Condition condition =
                                                      v1::WaitContainerRequest::NOT_RUNNING) {
    v1::WaitContainerRequest request;
    request.set_container(id);
    request.set_condition(condition);
    ASSIGN_OR_RETURN(v1::WaitContainerResponse response,
                     Call(&v1::ContainerService::Stub::WaitContainer, request));
    return response.exit_code();
  }
  absl::Status Delete(const std::string& id) {
    v1::DeleteContainerRequest request;
    request.set_container(id);
    request.set_force(true);
    request.set_delete_volumes(true);
    return Call(&v1::ContainerService::Stub::DeleteContainer, request).status();
  }
  std::string Logs(const std::string& id, bool follow = false) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kPatience);
    v1::ReadLogsRequest request;
    request.set_container(id);
    request.set_follow(follow);
    request.set_tail(-1);
    std::string text;
    v1::ReadLogsResponse response;
    std::unique_ptr<grpc::ClientReader<v1::ReadLogsResponse>> reader =
        instance_->containers->ReadLogs(&context, request);
    while (reader->Read(&response)) {
      for (const v1::LogLine& line : response.lines()) absl::StrAppend(&text, line.text(), "\n");
    }
    reader->Finish();
    return text;
  }
  // Runs to its end and answers what it printed.
  std::string Output(const v1::ContainerSpec& spec, int expected_code = 0) {
    absl::StatusOr<v1::Container> container = Run(spec);
    EXPECT_TRUE(container.ok()) << container.status();
    if (!container.ok()) return "";
    absl::StatusOr<int> code = Wait(container->id());
    EXPECT_TRUE(code.ok()) << code.status();
    std::string text = Logs(container->id());
    EXPECT_EQ(code.value_or(-1), expected_code) << text;
    EXPECT_TRUE(Delete(container->id()).ok());
    return text;
  }
  std::vector<std::string> Actions(const std::string& id) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kPatience);
    v1::WatchEventsRequest request;
    v1::WatchEventsResponse response;
    std::vector<std::string> actions;
    std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader =
        instance_->events->WatchEvents(&context, request);
    while (reader->Read(&response)) {
      for (const v1::Event& event : response.events()) {
        if (event.kind() == "container" && event.id() == id) actions.push_back(event.action());
      }
    }
    reader->Finish();
    return actions;
  }

  struct ExecResult {
    std::string out;
    std::string err;
    int code = -1;
    absl::Status status;
  };
  ExecResult Exec(const std::string& id, const std::vector<std::string>& args,
                  const std::string& input = "", bool tty = false) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kPatience);
    auto stream = instance_->containers->Exec(&context);
    v1::ExecRequest request;
    request.mutable_start()->set_container(id);
    request.mutable_start()->mutable_args()->Add(args.begin(), args.end());
    request.mutable_start()->set_stdin(!input.empty());
    request.mutable_start()->set_tty(tty);
    stream->Write(request);
    if (!input.empty()) {
      request.set_stdin(input);
      stream->Write(request);
      request.set_stdin_closed(true);
      stream->Write(request);
    }
    ExecResult result;
    v1::ExecResponse response;
    while (stream->Read(&response)) {
      result.out += response.stdout();
      result.err += response.stderr();
      if (response.has_exit_code()) result.code = response.exit_code();
    }
    stream->WritesDone();
    result.status = rpc::FromGrpc(stream->Finish());
    return result;
  }

  static Instance* instance_;
};

Instance* RuntimeServerTest::instance_ = nullptr;

TEST_F(RuntimeServerTest, ContainerRunsAndItsExitCodeIsKnown) {
  absl::StatusOr<v1::Container> container = Run(Shell("echo hello; echo oops >&2; exit 7"));
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(*Wait(container->id()), 7);
  EXPECT_THAT(Logs(container->id()), HasSubstr("hello\n"));
  EXPECT_THAT(Logs(container->id()), HasSubstr("oops\n"));
  EXPECT_EQ(Get(container->id())->state(), v1::CONTAINER_STATE_EXITED);
  EXPECT_THAT(Actions(container->id()), ElementsAre("create", "start", "die"));
  EXPECT_TRUE(Delete(container->id()).ok());
  EXPECT_EQ(Get(container->id()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RuntimeServerTest, RuntimeIsKilledAndTheContainerLives) {
  absl::StatusOr<v1::Container> container =
      Run(Shell("trap 'exit 42' USR1; while :; do sleep 0.05; done"));
  ASSERT_TRUE(container.ok()) << container.status();
  absl::StatusOr<ProcessIdentity> process = IdentifyProcess(static_cast<pid_t>(container->pid()));
  ASSERT_TRUE(process.ok()) << process.status();
  instance_->KillRuntime();
  EXPECT_TRUE(IsAlive(*process));
  // It ends while nobody watches. A first process passes over signals that it does not expect yet.
  absl::Time deadline = RealClock().Now() + kPatience;
  while (IsAlive(*process) && RealClock().Now() < deadline) {
    kill(static_cast<pid_t>(container->pid()), SIGUSR1);
    absl::SleepFor(absl::Milliseconds(10));
  }
  instance_->StartRuntime();
  EXPECT_EQ(*Wait(container->id()), 42);
  EXPECT_THAT(Actions(container->id()), ElementsAre("create", "start", "die"));
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, WhoWatchesOneLabelHearsOfNoOthersAndStillKnowsHowFarItIs) {
  v1::ContainerSpec spec = Shell("true");
  (*spec.mutable_labels())["watched"] = "yes";
  absl::StatusOr<v1::Container> watched = Run(spec);
  ASSERT_TRUE(watched.ok()) << watched.status();
  EXPECT_EQ(*Wait(watched->id()), 0);
  EXPECT_TRUE(Delete(watched->id()).ok());
  Output(Shell("true"));

  grpc::ClientContext context;
  rpc::SetTimeout(context, kPatience);
  v1::WatchEventsRequest request;
  request.set_container_label("watched");
  request.set_follow(true);
  auto reader = instance_->events->WatchEvents(&context, request);
  v1::GetEventPositionRequest ask;
  v1::GetEventPositionResponse position;
  grpc::ClientContext position_context;
  rpc::SetTimeout(position_context, kPatience);
  ASSERT_TRUE(instance_->events->GetEventPosition(&position_context, ask, &position).ok());
  std::vector<std::string> actions;
  v1::WatchEventsResponse response;
  int64_t complete_to = 0;
  auto read_until_complete = [&](int64_t sequence) {
    while (complete_to < sequence && reader->Read(&response)) {
      complete_to = response.complete_to_sequence();
      for (const v1::Event& event : response.events()) {
        EXPECT_NE(event.action(), "connect");
        if (event.kind() != "container") continue;
        EXPECT_EQ(event.id(), watched->id());
        actions.push_back(event.action());
      }
    }
  };
  read_until_complete(position.newest_sequence());
  EXPECT_EQ(complete_to, position.newest_sequence());
  EXPECT_THAT(actions, ElementsAre("create", "start", "die", "destroy"));

  // Live: the other one's events wake nobody, and do not hold up what comes after them.
  Output(Shell("true"));
  watched = Run(spec);
  ASSERT_TRUE(watched.ok()) << watched.status();
  actions.clear();
  while (actions.empty() && reader->Read(&response)) {
    for (const v1::Event& event : response.events()) {
      if (event.kind() != "container") continue;
      EXPECT_EQ(event.id(), watched->id());
      actions.push_back(event.action());
    }
  }
  EXPECT_FALSE(actions.empty());
  context.TryCancel();
  reader->Finish();
  EXPECT_EQ(*Wait(watched->id()), 0);
  EXPECT_TRUE(Delete(watched->id()).ok());
}

TEST_F(RuntimeServerTest, RestartedRuntimeFindsTheRunningContainerAgain) {
  absl::StatusOr<v1::Container> container = Run(Shell("sleep 1000"));
  ASSERT_TRUE(container.ok()) << container.status();
  instance_->KillRuntime();
  instance_->StartRuntime();
  absl::StatusOr<v1::Container> again = Get(container->id());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->state(), v1::CONTAINER_STATE_RUNNING);
  EXPECT_EQ(again->pid(), container->pid());
  EXPECT_EQ(Exec(container->id(), {"echo", "still"}).out, "still\n");
  v1::KillContainerRequest kill;
  kill.set_container(container->id());
  EXPECT_TRUE(Call(&v1::ContainerService::Stub::KillContainer, kill).ok());
  EXPECT_EQ(*Wait(container->id()), 137);
  EXPECT_THAT(Actions(container->id()), Contains("die").Times(1));
  EXPECT_TRUE(Get(container->id())->stop_requested());
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, ProcessHasEnvironmentUserAndHostname) {
  v1::ContainerSpec spec = Shell("id -u; id -g; echo $HOME $FROM_IMAGE $MINE; hostname");
  spec.set_user("app");
  spec.set_hostname("box");
  spec.add_env("MINE=1");
  EXPECT_EQ(Output(spec), "1234\n1235\n/home/app yes 1\nbox\n");
}

TEST_F(RuntimeServerTest, MissingCommandIsSaidAndNothingStays) {
  v1::ContainerSpec spec;
  spec.set_image("busybox");
  spec.set_name("no-such-command");
  spec.mutable_command()->add_args("pyton3");
  absl::StatusOr<v1::Container> container = Run(spec);
  EXPECT_EQ(container.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Reason(container.status()), "COMMAND_NOT_FOUND");
  EXPECT_THAT(std::string(container.status().message()), HasSubstr("pyton3"));
  EXPECT_EQ(Get("no-such-command").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RuntimeServerTest, ImagesVolumeIsFilledAndOutlivesTheContainerWhenNamed) {
  v1::ContainerSpec spec = Shell("cat /data/seed; echo more > /data/mine");
  v1::Mount* mount = spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_VOLUME);
  mount->set_source("kept");
  mount->set_target("/data");
  EXPECT_EQ(Output(spec), "from the image\n");
  v1::ContainerSpec second = Shell("cat /data/mine");
  *second.mutable_mounts() = spec.mounts();
  EXPECT_EQ(Output(second), "more\n");
}

TEST_F(RuntimeServerTest, SameRequestMakesOneContainer) {
  v1::ContainerSpec spec = Shell("sleep 1000");
  absl::StatusOr<v1::Container> first = Run(spec, "request-1");
  absl::StatusOr<v1::Container> second = Run(spec, "request-1");
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  EXPECT_EQ(first->id(), second->id());
  EXPECT_TRUE(Delete(first->id()).ok());
}

TEST_F(RuntimeServerTest, ContainerThatRemovesItselfIsGoneAfterItsExit) {
  v1::ContainerSpec spec = Shell("exit 5");
  spec.set_auto_remove(true);
  absl::StatusOr<v1::Container> container = Run(spec);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(*Wait(container->id(), v1::WaitContainerRequest::REMOVED), 5);
  EXPECT_EQ(Get(container->id()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RuntimeServerTest, ContainerWhoseStartNeverCameIsGoneAfterACrash) {
  v1::CreateContainerRequest create;
  *create.mutable_spec() = Shell("sleep 1000");
  absl::StatusOr<v1::CreateContainerResponse> kept =
      Call(&v1::ContainerService::Stub::CreateContainer, create);
  create.set_start_follows(true);
  absl::StatusOr<v1::CreateContainerResponse> abandoned =
      Call(&v1::ContainerService::Stub::CreateContainer, create);
  absl::StatusOr<v1::CreateContainerResponse> started =
      Call(&v1::ContainerService::Stub::CreateContainer, create);
  ASSERT_TRUE(kept.ok() && abandoned.ok() && started.ok());
  v1::StartContainerRequest start;
  start.set_container(started->container().id());
  ASSERT_TRUE(Call(&v1::ContainerService::Stub::StartContainer, start).ok());
  instance_->KillRuntime();
  instance_->StartRuntime();
  EXPECT_EQ(Get(abandoned->container().id()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Get(kept->container().id())->state(), v1::CONTAINER_STATE_CREATED);
  EXPECT_EQ(Get(started->container().id())->state(), v1::CONTAINER_STATE_RUNNING);
  EXPECT_TRUE(Delete(kept->container().id()).ok());
  EXPECT_TRUE(Delete(started->container().id()).ok());
}

TEST_F(RuntimeServerTest, ExecCarriesInputOutputAndExitCode) {
  absl::StatusOr<v1::Container> container = Run(Shell("sleep 1000"));
  ASSERT_TRUE(container.ok()) << container.status();
  ExecResult result = Exec(container->id(), {"sh", "-c", "cat; echo err >&2; exit 9"}, "typed");
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.out, "typed");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(result.code, 9);
  EXPECT_THAT(Exec(container->id(), {"tty"}, "", true).out, HasSubstr("/dev/pts/"));
  EXPECT_EQ(Reason(Exec(container->id(), {"nothing-here"}).status), "COMMAND_NOT_FOUND");
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, AttachBeforeTheStartMissesNothing) {
  v1::CreateContainerRequest create;
  *create.mutable_spec() = Shell("echo first; cat; exit 3");
  create.mutable_spec()->set_stdin_open(true);
  absl::StatusOr<v1::CreateContainerResponse> created =
      Call(&v1::ContainerService::Stub::CreateContainer, create);
  ASSERT_TRUE(created.ok()) << created.status();
  grpc::ClientContext context;
  rpc::SetTimeout(context, kPatience);
  auto stream = instance_->containers->Attach(&context);
  v1::AttachRequest request;
  request.mutable_start()->set_container(created->container().id());
  request.mutable_start()->set_stdin(true);
  stream->Write(request);
  v1::AttachResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_TRUE(response.attached());
  v1::StartContainerRequest start;
  start.set_container(created->container().id());
  ASSERT_TRUE(Call(&v1::ContainerService::Stub::StartContainer, start).ok());
  request.set_stdin("typed\n");
  stream->Write(request);
  request.set_stdin_closed(true);
  stream->Write(request);
  int code = -1;
  std::string out = ReadToEnd(*stream, code);
  EXPECT_EQ(out, "first\ntyped\n");
  EXPECT_EQ(code, 3);
  EXPECT_TRUE(Delete(created->container().id()).ok());
}

TEST_F(RuntimeServerTest, OneStreamMakesAttachesAndStarts) {
  grpc::ClientContext context;
  rpc::SetTimeout(context, kPatience);
  auto stream = instance_->containers->Attach(&context);
  v1::AttachRequest request;
  v1::ContainerSpec& spec = *request.mutable_start()->mutable_create();
  spec = Shell("cat; exit 3");
  spec.set_stdin_open(true);
  spec.set_auto_remove(true);
  request.mutable_start()->set_stdin(true);
  stream->Write(request);
  v1::AttachResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_TRUE(response.has_created());
  const std::string id = response.created().container().id();
  EXPECT_EQ(response.created().container().state(), v1::CONTAINER_STATE_RUNNING);
  request.set_stdin("typed");
  stream->Write(request);
  request.set_stdin_closed(true);
  stream->Write(request);
  int code = -1;
  std::string out = ReadToEnd(*stream, code);
  EXPECT_EQ(out, "typed");
  EXPECT_EQ(code, 3);
  // The stream goes on until it is gone.
  EXPECT_EQ(Get(id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RuntimeServerTest, AStreamThatCannotStartWhatItMadeLeavesNothing) {
  auto failure = [&](const v1::AttachRequest& request) {
    grpc::ClientContext context;
    rpc::SetTimeout(context, kPatience);
    auto stream = instance_->containers->Attach(&context);
    stream->Write(request);
    v1::AttachResponse response;
    EXPECT_FALSE(stream->Read(&response));
    return rpc::FromGrpc(stream->Finish());
  };
  v1::AttachRequest request;
  v1::ContainerSpec& spec = *request.mutable_start()->mutable_create();
  spec = Shell("true");
  spec.set_name("never");
  spec.mutable_command()->clear_args();
  spec.mutable_command()->add_args("/nothing-here");
  EXPECT_EQ(Reason(failure(request)), "COMMAND_NOT_FOUND");
  EXPECT_EQ(Get("never").status().code(), absl::StatusCode::kNotFound);
  spec.set_image("unknown:1");
  EXPECT_EQ(failure(request).code(), absl::StatusCode::kNotFound);
  request.mutable_start()->set_container("another");
  EXPECT_EQ(failure(request).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RuntimeServerTest, FollowedLogEndsWithTheContainer) {
  absl::StatusOr<v1::Container> container =
      Run(Shell("for i in 1 2 3; do echo line $i; sleep 0.1; done"));
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(Logs(container->id(), true), "line 1\nline 2\nline 3\n");
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, StopSendsTheSignalAndIsNotFollowedByAPolicy) {
  v1::ContainerSpec spec = Shell("trap 'exit 11' TERM; while :; do sleep 0.05; done");
  spec.mutable_restart_policy()->set_kind(v1::RestartPolicy::ALWAYS);
  absl::StatusOr<v1::Container> container = Run(spec);
  ASSERT_TRUE(container.ok()) << container.status();
  // Until the trap is set.
  EXPECT_EQ(Exec(container->id(), {"true"}).code, 0);
  absl::SleepFor(absl::Milliseconds(200));
  v1::StopContainerRequest stop;
  stop.set_container(container->id());
  absl::StatusOr<v1::StopContainerResponse> stopped =
      Call(&v1::ContainerService::Stub::StopContainer, stop);
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(stopped->container().state(), v1::CONTAINER_STATE_EXITED);
  EXPECT_EQ(stopped->container().exit_code(), 11);
  EXPECT_TRUE(stopped->container().stop_requested());
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, PolicyRestartsWhatFailsAndEachDeathIsOneEvent) {
  v1::ContainerSpec spec = Shell("exit 1");
  spec.mutable_restart_policy()->set_kind(v1::RestartPolicy::ON_FAILURE);
  spec.mutable_restart_policy()->set_max_retries(2);
  absl::StatusOr<v1::Container> container = Run(spec);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(*Wait(container->id()), 1);
  EXPECT_EQ(Get(container->id())->restart_count(), 2);
  EXPECT_THAT(Actions(container->id()), Contains("die").Times(3));
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, PausedContainerIsFrozenUntilUnpaused) {
  absl::StatusOr<v1::Container> container = Run(Shell("sleep 1000"));
  ASSERT_TRUE(container.ok()) << container.status();
  v1::PauseContainerRequest pause;
  pause.set_container(container->id());
  EXPECT_TRUE(Call(&v1::ContainerService::Stub::PauseContainer, pause).ok());
  EXPECT_EQ(Get(container->id())->state(), v1::CONTAINER_STATE_PAUSED);
  EXPECT_EQ(Call(&v1::ContainerService::Stub::PauseContainer, pause).status().code(),
            absl::StatusCode::kFailedPrecondition);
  v1::UnpauseContainerRequest unpause;
  unpause.set_container(container->id());
  EXPECT_TRUE(Call(&v1::ContainerService::Stub::UnpauseContainer, unpause).ok());
  EXPECT_EQ(Exec(container->id(), {"echo", "awake"}).out, "awake\n");
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, HealthcheckMakesHealthy) {
  v1::ContainerSpec spec = Shell("sleep 1000");
  spec.mutable_healthcheck()->add_test("CMD");
  spec.mutable_healthcheck()->add_test("true");
  spec.mutable_healthcheck()->mutable_interval()->set_nanos(100'000'000);
  absl::StatusOr<v1::Container> container = Run(spec);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_TRUE(Wait(container->id(), v1::WaitContainerRequest::HEALTHY).ok());
  EXPECT_THAT(Actions(container->id()), Contains("health_status"));
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, InitIsProcessOneAndForwardsSignals) {
  v1::ContainerSpec spec = Shell("echo $$; exit 4");
  spec.set_init(true);
  EXPECT_THAT(Output(spec, 4), ::testing::Not("1\n"));
}

TEST_F(RuntimeServerTest, ProcessesAndFiguresAreThoseOfTheContainer) {
  v1::ContainerSpec spec = Shell("sleep 1000 & sleep 1000; true");
  spec.mutable_resources()->set_memory_limit_bytes(64 << 20);
  absl::StatusOr<v1::Container> container = Run(spec);
  ASSERT_TRUE(container.ok()) << container.status();
  v1::ListProcessesRequest processes;
  processes.set_container(container->id());
  absl::Time deadline = RealClock().Now() + kPatience;
  int count = 0;
  // At first the one that started it may still be there.
  while (count != 3 && RealClock().Now() < deadline) {
    count = Call(&v1::ContainerService::Stub::ListProcesses, processes)->processes_size();
  }
  EXPECT_EQ(count, 3);
  v1::GetStatsRequest stats;
  stats.add_containers(container->name());
  absl::StatusOr<v1::GetStatsResponse> figures = Call(&v1::ContainerService::Stub::GetStats, stats);
  ASSERT_TRUE(figures.ok()) << figures.status();
  ASSERT_EQ(figures->stats_size(), 1);
  EXPECT_EQ(figures->stats(0).memory_limit_bytes(), 64 << 20);
  EXPECT_GE(figures->stats(0).pids(), 3);
  EXPECT_TRUE(Delete(container->id()).ok());
}

TEST_F(RuntimeServerTest, TakenNameIsRefused) {
  v1::ContainerSpec spec = Shell("sleep 1000");
  spec.set_name("once");
  absl::StatusOr<v1::Container> first = Run(spec);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(Run(spec).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Delete("once").ok());
}

TEST_F(RuntimeServerTest, ReadOnlyRootAndTmpfs) {
  v1::ContainerSpec spec =
      Shell("touch /x 2>/dev/null && echo writable; touch /scratch/x && echo scratch");
  spec.set_read_only(true);
  v1::Mount* mount = spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_TMPFS);
  mount->set_target("/scratch");
  EXPECT_EQ(Output(spec), "scratch\n");
}

}  // namespace
}  // namespace darse::runtime
