#include "services/shim/protocol.h"

#include <sys/socket.h>

#include "gtest/gtest.h"
#include "services/shim/packet.h"
#include "services/shim/shim_config.h"

namespace darse::shim {
namespace {

Request FullRequest() {
  return {
      .kind = RequestKind::kUpdateRestart,
      .id = 7,
      .signal = 15,
      .exec_id = "probe",
      .stdio = kStdin | kStderr,
      .end_stdin = true,
      .columns = 80,
      .rows = 24,
      .restart = {
          .kind = RestartKind::kOnFailure, .max_retries = 3, .window_ms = 60'000, .delay_ms = 7}};
}

Message FullMessage() {
  return {
      .kind = MessageKind::kExited,
      .request_id = 9,
      .failure = {.step = "exec", .error = 2, .reason = "COMMAND_NOT_FOUND", .message = "no"},
      .state = State::kRestarting,
      .pid = 4711,
      .started_ns = -1,
      .restart_count = 2,
      .exec_id = "e",
      .exit = {.sequence = 3, .time_ns = 5, .exit_code = 137, .signal = 9, .error = "a \"b\"\n"},
      .warnings = {"one", "two"}};
}

TEST(ProtocolTest, RequestsAndMessagesSurviveTheWire) {
  absl::StatusOr<Request> request = DecodeRequest(EncodeRequest(FullRequest()));
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(*request, FullRequest());
  absl::StatusOr<Message> message = DecodeMessage(EncodeMessage(FullMessage()));
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(*message, FullMessage());
}

TEST(ProtocolTest, ACutPacketIsRefusedOrShorter) {
  std::string whole = EncodeMessage(FullMessage());
  for (size_t length = 0; length < whole.size(); ++length) {
    absl::StatusOr<Message> message = DecodeMessage(absl::string_view(whole).substr(0, length));
    if (message.ok()) {
      EXPECT_NE(*message, FullMessage());
    }
  }
}

TEST(ProtocolTest, UnknownKindsAndFieldsAreRefused) {
  std::string packet = EncodeRequest(FullRequest());
  packet[3] = 99;
  EXPECT_FALSE(DecodeRequest(packet).ok());
  packet = EncodeRequest(FullRequest());
  packet[4] = 88;
  EXPECT_FALSE(DecodeRequest(packet).ok());
  EXPECT_FALSE(DecodeRequest(EncodeRequest({.kind = RequestKind::kStop})).ok());
}

TEST(ProtocolTest, PacketsCarryFds) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  UniqueFd a(ends[0]), b(ends[1]);
  absl::StatusOr<UniqueFd> file = MakeMemoryFile("hello");
  ASSERT_TRUE(file.ok()) << file.status();
  int fds[] = {file->get()};
  ASSERT_TRUE(SendPacket(a.get(), "x", fds).ok());
  absl::StatusOr<Packet> packet = ReceivePacket(b.get());
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->bytes, "x");
  ASSERT_EQ(packet->fds.size(), 1u);
  char text[5];
  ASSERT_EQ(pread(packet->fds[0].get(), text, 5, 0), 5);
  EXPECT_EQ(std::string(text, 5), "hello");
  EXPECT_EQ(ReceivePacket(b.get()).status().code(), absl::StatusCode::kUnavailable);
  a.Reset();
  packet = ReceivePacket(b.get());
  ASSERT_TRUE(packet.ok());
  EXPECT_TRUE(packet->bytes.empty());
}

TEST(ExitRecordTest, ATornLastLineIsNoRecord) {
  ExitRecord first = {.sequence = 1, .exit_code = 3}, second = {.sequence = 2, .final = true};
  std::string file = EncodeExitRecord(first) + EncodeExitRecord(second);
  size_t whole = file.size();
  absl::StatusOr<ExitJournal> journal = DecodeExitJournal(file + "{\"sequence\":3,");
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ(journal->records, (std::vector<ExitRecord>{first, second}));
  EXPECT_EQ(journal->complete_bytes, whole);
  EXPECT_FALSE(DecodeExitJournal("garbage\n").ok());
}

TEST(ShimConfigTest, SurvivesJsonAndRefusesUnknownKeys) {
  ShimConfig config = {
      .id = "abc",
      .rootfs = {.lower_dirs = {"/a", "/b:c"}, .upper_dir = "/u", .work_dir = "/w"},
      .log = {.dir = "/l", .max_size_bytes = 5, .max_files = 2},
      .restart = {.kind = RestartKind::kUnlessStopped},
      .stop_signal = 2,
      .stdin_open = true,
      .transient = true,
      .columns = 100,
      .rows = 30,
      .seccomp_cache = "/run/s"};
  absl::StatusOr<ShimConfig> read = DecodeShimConfig(EncodeShimConfig(config));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, config);
  EXPECT_FALSE(DecodeShimConfig(R"({"id":"a","rootfs":{"path":"/"},"surprise":1})").ok());
  EXPECT_FALSE(DecodeShimConfig(R"({"id":"a"})").ok());
  EXPECT_FALSE(DecodeShimConfig(R"({"id":"a","rootfs":{"path":"/","lower_dirs":["/x"]}})").ok());
}

}  // namespace
}  // namespace darse::shim
