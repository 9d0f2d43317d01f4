// darse-shim itself, on the real kernel: a busybox root in an overlay, real cgroups, real
// namespaces.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/shim/lease.h"
#include "services/shim/packet.h"
#include "services/shim/protocol.h"
#include "services/shim/shim_config.h"

extern char** environ;

namespace darse::shim {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr char kConfig[] = R"({
  "ociVersion": "1.0.2",
  "process": {"terminal": TERMINAL, "user": {"uid": 0, "gid": 0}, "args": ARGS,
    "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": true,
    "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}},
  "root": {"path": "ROOT"},
  "hostname": "box",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}],
  "linux": {"cgroupsPath": "/darse-shim-test/ID",
    "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"},
                   {"type": "cgroup"}, {"type": "network"}],
    "resources": {"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 67108864}},
    "maskedPaths": ["/proc/kcore", "/sys/firmware"], "readonlyPaths": ["/proc/sys"]}
})";

// The parameter: whether the shim was parked before it got its container.
class ShimTest : public testing::TestWithParam<bool> {
 protected:
  ShimTest() {
    char name[] = "/var/tmp/darse-shim-XXXXXX";
    base_ = mkdtemp(name);
    state_ = base_ + "/state";
    run_ = base_ + "/run";
    for (const char* directory : {"low/bin", "low/proc", "low/dev", "low/sys", "low/etc",
                                  "state/rootfs", "state/upper", "state/work", "run"}) {
      fs::create_directories(base_ + "/" + directory);
    }
    fs::copy("/bin/busybox", base_ + "/low/bin/busybox");
    for (const char* applet : {"sh", "cat", "sleep", "echo", "id", "ls", "hostname", "true", "dd",
                               "tty", "touch", "seq"}) {
      fs::create_symlink("busybox", base_ + "/low/bin/" + applet);
    }
    std::ofstream(base_ + "/low/etc/passwd") << "bob:x:1000:1000::/home/bob:/bin/sh\n";
    config_ = {.id = absl::StrCat("t", getpid(), "-", ++counter_),
               .rootfs = {.lower_dirs = {base_ + "/low"},
                          .upper_dir = state_ + "/upper",
                          .work_dir = state_ + "/work"},
               .log = {.dir = state_ + "/log"}};
  }
  // The cgroups' parent, wherever the host has one.
  static void TearDownTestSuite() {
    for (const fs::directory_entry& hierarchy : fs::directory_iterator("/sys/fs/cgroup")) {
      rmdir((hierarchy.path() / "darse-shim-test").c_str());
    }
    rmdir("/sys/fs/cgroup/darse-shim-test");
  }
  ~ShimTest() override {
    if (pid_ > 0) {
      if (socket_.valid()) Call({.kind = RequestKind::kShutdown});
      for (int i = 0; i < 500 && waitpid(pid_, nullptr, WNOHANG) == 0; ++i) {
        absl::SleepFor(absl::Milliseconds(10));
        if (i == 499) kill(pid_, SIGKILL);
      }
    }
    fs::remove_all(base_);
  }

  // The report.
  Message Start(const std::string& script, bool terminal = false) {
    return StartArgs(absl::StrCat("[\"/bin/sh\", \"-c\", \"", script, "\"]"), terminal);
  }
  Message StartArgs(const std::string& args_json, bool terminal = false) {
    if (!GetParam()) WriteConfig(args_json, terminal);
    UniqueFd ours = Spawn();
    if (GetParam()) {
      EXPECT_EQ(Receive(ours.get()).kind, MessageKind::kDone);
      WriteConfig(args_json, terminal);
      EXPECT_TRUE(SendLease(ours.get(), {}).ok());
    }
    return Receive(ours.get());
  }
  void WriteConfig(const std::string& args_json, bool terminal) {
    std::ofstream(run_ + "/config.json")
        << absl::StrReplaceAll(kConfig, {{"ARGS", args_json},
                                         {"ROOT", state_ + "/rootfs"},
                                         {"TERMINAL", terminal ? "true" : "false"},
                                         {"ID", config_.id}});
    std::ofstream(run_ + "/shim.json") << EncodeShimConfig(config_);
  }
  // Answers our end of the report fd.
  UniqueFd Spawn() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    UniqueFd ours(ends[0]), theirs(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs.get(), 20);
    std::string program = "services/shim/darse-shim";
    std::string cgroup = "darse-shim-test/" + config_.id;
    std::vector<const char*> args = {
        program.c_str(), "--state", state_.c_str(), "--run", run_.c_str(), "--report-fd", "20"};
    if (GetParam()) args.insert(args.end(), {"--parked", cgroup.c_str()});
    args.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, program.c_str(), &actions, nullptr,
                          const_cast<char**>(args.data()), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    return ours;
  }
  static Message Receive(int socket) {
    absl::StatusOr<Packet> report = ReceivePacket(socket);
    EXPECT_TRUE(report.ok()) << report.status();
    absl::StatusOr<Message> message = DecodeMessage(report->bytes);
    EXPECT_TRUE(message.ok()) << message.status();
    return message.value_or(Message{});
  }

  void Connect() {
    absl::StatusOr<UniqueFd> socket = ConnectShim(run_);
    ASSERT_TRUE(socket.ok()) << socket.status();
    socket_ = *std::move(socket);
    Call({.kind = RequestKind::kSubscribe});
  }

  // The next message that comes; kind kDone and request_id 0 at end-of-file.
  Message Next() {
    pollfd wait = {.fd = socket_.get(), .events = POLLIN};
    if (poll(&wait, 1, 20'000) != 1) {
      ADD_FAILURE() << "no message in time";
      return {};
    }
    absl::StatusOr<Packet> packet = ReceivePacket(socket_.get());
    if (!packet.ok() || packet->bytes.empty()) return {};
    fds_ = std::move(packet->fds);
    return *DecodeMessage(packet->bytes);
  }
  Message Call(Request request, std::vector<int> fds = {}) {
    request.id = ++request_id_;
    EXPECT_TRUE(SendPacket(socket_.get(), EncodeRequest(request), fds).ok());
    for (;;) {
      Message message = Next();
      if (message.request_id == request.id || message == Message{}) return message;
      events_.push_back(message);
    }
  }
  Message Event(MessageKind kind) {
    for (;;) {
      for (auto event = events_.begin(); event != events_.end(); ++event) {
        if (event->kind != kind) continue;
        Message found = *event;
        events_.erase(event);
        return found;
      }
      Message message = Next();
      if (message == Message{}) return {};
      events_.push_back(message);
    }
  }
  void WaitForEnd() {
    EXPECT_EQ(waitpid(pid_, nullptr, 0), pid_);
    pid_ = 0;
  }
  std::string Log() const { return Read(state_ + "/log/current"); }
  static std::string Read(const std::string& path) {
    std::ifstream stream(path);
    std::stringstream content;
    content << stream.rdbuf();
    return content.str();
  }
  std::vector<ExitRecord> Exits() const {
    absl::StatusOr<ExitJournal> journal = DecodeExitJournal(Read(state_ + "/exits"));
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal->records;
  }
  bool CgroupExists() const {
    for (const char* controller : {"memory", "pids", "freezer", "unified"}) {
      if (fs::exists(
              absl::StrCat("/sys/fs/cgroup/", controller, "/darse-shim-test/", config_.id))) {
        return true;
      }
    }
    return fs::exists("/sys/fs/cgroup/darse-shim-test/" + config_.id);
  }
  // Output and started message of a process inside.
  std::pair<Message, std::string> Exec(const std::string& process_json) {
    absl::StatusOr<UniqueFd> json = MakeMemoryFile(process_json);
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    UniqueFd reader(ends[0]), writer(ends[1]);
    Message message = Call({.kind = RequestKind::kExec, .exec_id = "e", .stdio = kStdout | kStderr},
                           {json->get(), writer.get(), writer.get()});
    writer.Reset();
    std::string output;
    char buffer[4096];
    for (ssize_t got; (got = read(reader.get(), buffer, sizeof(buffer))) > 0;) {
      output.append(buffer, static_cast<size_t>(got));
    }
    return {message, output};
  }

  static inline int counter_ = 0;
  std::string base_, state_, run_;
  ShimConfig config_;
  pid_t pid_ = 0;
  UniqueFd socket_;
  uint64_t request_id_ = 0;
  std::vector<Message> events_;
  std::vector<UniqueFd> fds_;
};

INSTANTIATE_TEST_SUITE_P(Starts, ShimTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "Parked" : "Fresh"; });

TEST_P(ShimTest, LetGoOfBeforeItHasAContainerItLeavesNothing) {
  if (!GetParam()) GTEST_SKIP() << "of a parked one";
  UniqueFd ours = Spawn();
  EXPECT_EQ(Receive(ours.get()).kind, MessageKind::kDone);
  EXPECT_TRUE(CgroupExists());
  ours.Reset();
  WaitForEnd();
  EXPECT_FALSE(CgroupExists());
}

TEST_P(ShimTest, TheProcessWaitsForItsClearance) {
  if (!GetParam()) GTEST_SKIP() << "of a parked one";
  for (bool granted : {true, false}) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    UniqueFd clearance(ends[0]), theirs(ends[1]);
    UniqueFd ours = Spawn();
    EXPECT_EQ(Receive(ours.get()).kind, MessageKind::kDone);
    WriteConfig("[\"/bin/touch\", \"/went\"]", false);
    ASSERT_TRUE(SendLease(ours.get(), {.clearance = theirs.get()}).ok());
    theirs.Reset();
    pollfd wait = {.fd = ours.get(), .events = POLLIN};
    EXPECT_EQ(poll(&wait, 1, 200), 0);
    EXPECT_FALSE(fs::exists(state_ + "/upper/went"));
    if (granted) {
      EXPECT_EQ(send(clearance.get(), "c", 1, 0), 1);
    }
    clearance.Reset();
    Message report = Receive(ours.get());
    EXPECT_EQ(report.kind, granted ? MessageKind::kStarted : MessageKind::kFailed);
    WaitForEnd();
    EXPECT_EQ(fs::exists(state_ + "/upper/went"), granted);
    EXPECT_FALSE(CgroupExists());
    fs::remove(state_ + "/upper/went");
  }
}

TEST_P(ShimTest, RunsAContainerAndLeavesItsOutputAndExitBehind) {
  Message report = Start("hostname; echo err >&2; cat /proc/self/cgroup; touch /new; exit 3");
  ASSERT_EQ(report.kind, MessageKind::kStarted) << report.failure.message;
  EXPECT_GT(report.pid, 0);
  WaitForEnd();
  EXPECT_THAT(Log(), HasSubstr(" stdout F box\n"));
  EXPECT_THAT(Log(), HasSubstr(" stderr F err\n"));
  EXPECT_THAT(Log(), testing::Not(HasSubstr(config_.id))) << "the cgroup's real name shows inside";
  ASSERT_EQ(Exits().size(), 1u);
  EXPECT_EQ(Exits()[0].exit_code, 3);
  EXPECT_TRUE(Exits()[0].final);
  EXPECT_FALSE(CgroupExists());
  EXPECT_TRUE(fs::exists(state_ + "/upper/new"));
  EXPECT_FALSE(fs::exists(run_ + "/shim.sock"));
  EXPECT_FALSE(fs::exists(run_ + "/shim.pid"));
  EXPECT_THAT(Read("/proc/self/mountinfo"), testing::Not(HasSubstr(base_)));
}

TEST_P(ShimTest, SaysWhatIsWrongWithACommandAndLeavesNothing) {
  Message failed = StartArgs("[\"pyton3\"]");
  EXPECT_EQ(failed.kind, MessageKind::kFailed);
  EXPECT_EQ(failed.failure.step, "exec");
  EXPECT_EQ(failed.failure.reason, "COMMAND_NOT_FOUND");
  EXPECT_EQ(failed.failure.message, "exec \"pyton3\": not found in PATH");
  WaitForEnd();
  EXPECT_TRUE(Exits().empty());
  EXPECT_FALSE(CgroupExists());
}

TEST_P(ShimTest, RestartsUntilRetriesAreUsedUp) {
  config_.restart = {.kind = RestartKind::kOnFailure, .max_retries = 2};
  ASSERT_EQ(Start("echo run; exit 1").kind, MessageKind::kStarted);
  WaitForEnd();
  std::vector<ExitRecord> exits = Exits();
  ASSERT_EQ(exits.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(exits[i].sequence, i + 1);
    EXPECT_EQ(exits[i].final, i == 2);
  }
  EXPECT_GE(exits[0].restart_delay_ms, 100);
  EXPECT_GE(exits[1].restart_delay_ms, 200);
}

TEST_P(ShimTest, AStopIsRecordedToldAndNotFollowedByARestart) {
  config_.restart = {.kind = RestartKind::kAlways};
  ASSERT_EQ(Start("trap 'exit 7' TERM; echo up; while :; do sleep 1 & wait; done").kind,
            MessageKind::kStarted);
  Connect();
  while (!absl::StrContains(Log(), "up")) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Call({.kind = RequestKind::kStop}).kind, MessageKind::kDone);
  Message exited = Event(MessageKind::kExited);
  EXPECT_EQ(exited.exit.exit_code, 7);
  EXPECT_TRUE(exited.exit.stopped);
  EXPECT_TRUE(exited.exit.final);
  EXPECT_EQ(Exits().back(), exited.exit);
  socket_.Reset();
  WaitForEnd();
}

TEST_P(ShimTest, SurvivesSignalsMeantToEndIt) {
  ASSERT_EQ(Start("sleep 1000").kind, MessageKind::kStarted);
  Connect();
  for (int i = 0; i < 1000; ++i) {
    for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) kill(pid_, signal);
  }
  EXPECT_EQ(Call({.kind = RequestKind::kGetState}).state, State::kRunning);
}

TEST_P(ShimTest, ProcessesInsideShareNamespacesAndAreReported) {
  ASSERT_EQ(Start("sleep 1000").kind, MessageKind::kStarted);
  Connect();
  auto [started, output] = Exec(
      R"({"user":{"uid":0,"gid":0,"username":"bob"},"args":["sh","-c","hostname; id -u; ls /proc/1/cwd; exit 9"],
          "cwd":"/","env":["PATH=/bin"]})");
  ASSERT_EQ(started.kind, MessageKind::kStarted) << started.failure.message;
  EXPECT_THAT(output, testing::StartsWith("box\n1000\n"));
  Message exited = Event(MessageKind::kExecExited);
  EXPECT_EQ(exited.exec_id, "e");
  EXPECT_EQ(exited.exit.exit_code, 9);
  auto [failed, nothing] =
      Exec(R"({"user":{"uid":0,"gid":0},"args":["/etc/passwd"],"cwd":"/","env":[]})");
  EXPECT_EQ(failed.kind, MessageKind::kFailed);
  EXPECT_EQ(failed.failure.reason, "COMMAND_NOT_EXECUTABLE");
}

TEST_P(ShimTest, ATerminalEchoesAndResizes) {
  config_.stdin_open = true;
  config_.columns = 90;
  config_.rows = 30;
  ASSERT_EQ(Start("tty; sleep 1000", /*terminal=*/true).kind, MessageKind::kStarted);
  Connect();
  while (!absl::StrContains(Log(), "/dev/pts/0")) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Call({.kind = RequestKind::kResize, .columns = 120, .rows = 40}).kind,
            MessageKind::kDone);
}

TEST_P(ShimTest, AnOomKillIsToldAndRecorded) {
  ASSERT_EQ(Start("dd if=/dev/zero of=/dev/null bs=200M count=1").kind, MessageKind::kStarted);
  WaitForEnd();
  ASSERT_FALSE(Exits().empty());
  EXPECT_TRUE(Exits()[0].oom_killed);
}

TEST_P(ShimTest, AnAttacherThatTakesNothingIsDroppedAndTheContainerGoesOn) {
  config_.stdin_open = true;
  ASSERT_EQ(Start("read x; seq 1 300000; echo done; sleep 1000").kind, MessageKind::kStarted);
  Connect();
  int in[2], out[2];
  ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  UniqueFd in_reader(in[0]), in_writer(in[1]), out_reader(out[0]), out_writer(out[1]);
  ASSERT_EQ(Call({.kind = RequestKind::kAttach, .stdio = kStdin | kStdout},
                 {in_reader.get(), out_writer.get()})
                .kind,
            MessageKind::kDone);
  out_writer.Reset();
  ASSERT_EQ(write(in_writer.get(), "go\n", 3), 3);
  EXPECT_EQ(Event(MessageKind::kAttachDropped).kind, MessageKind::kAttachDropped);
  while (!absl::StrContains(Log(), " stdout F done\n")) absl::SleepFor(absl::Milliseconds(10));
}

}  // namespace
}  // namespace darse::shim
