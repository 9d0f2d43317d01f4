#include "tools/darse/session/grpc_socket.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "libs/base/reason.h"

namespace darse::client {
namespace {

// Echo: each message comes back. Fail: an error at once. Ends: one message, and the end, whatever
// the client has still to say. Hang: nothing.
class Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  Reactor(grpc::GenericCallbackServerContext* context, std::atomic<int>& cancelled)
      : context_(context), cancelled_(cancelled) {
    if (context->method() == "/t/Fail") {
      context->AddTrailingMetadata("darse-reason", "PORT_IN_USE");
      Finish(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "100 % wrong: ü\n"));
    } else if (context->method() == "/t/Ends") {
      grpc::Slice slice("last words");
      buffer_ = grpc::ByteBuffer(&slice, 1);
      StartWriteAndFinish(&buffer_, grpc::WriteOptions(), grpc::Status::OK);
    } else {
      StartRead(&buffer_);
    }
  }

 private:
  void OnReadDone(bool ok) override {
    if (context_->method() == "/t/Hang") return;
    if (ok) return StartWrite(&buffer_);
    Finish(grpc::Status::OK);
  }
  void OnWriteDone(bool ok) override {
    if (ok && context_->method() != "/t/Ends") StartRead(&buffer_);
  }
  void OnCancel() override {
    ++cancelled_;
    if (context_->method() == "/t/Hang") Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

  grpc::GenericCallbackServerContext* context_;
  std::atomic<int>& cancelled_;
  grpc::ByteBuffer buffer_;
};

class Service final : public grpc::CallbackGenericService {
 public:
  std::atomic<int> cancelled = 0;

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Reactor(context, cancelled);
  }
};

class GrpcSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + path(), grpc::InsecureServerCredentials());
    builder.RegisterCallbackGenericService(&service_);
    builder.SetMaxReceiveMessageSize(64 << 20);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void TearDown() override {
    StopServer();
    unlink(path().c_str());
    rmdir(directory_.c_str());
  }
  void StopServer() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }
  std::string path() const { return directory_ + "/s"; }
  std::unique_ptr<GrpcSocket> Open() {
    absl::StatusOr<std::unique_ptr<GrpcSocket>> opened = GrpcSocket::Open(path());
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  std::string directory_ = "/tmp/darse_grpc_XXXXXX";
  Service service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(GrpcSocketTest, CarriesOneCallAfterAnother) {
  std::unique_ptr<GrpcSocket> socket = Open();
  for (const std::string& text : {std::string("hello"), std::string(), std::string(300, 'x')}) {
    socket->Begin("/t/Echo", absl::Seconds(20));
    EXPECT_FALSE(socket->IsFree());
    EXPECT_TRUE(socket->Write(text));
    socket->WritesDone();
    std::string answer = "none";
    EXPECT_TRUE(socket->Read(answer));
    EXPECT_EQ(answer, text);
    EXPECT_FALSE(socket->Read(answer));
    EXPECT_EQ(socket->Finish(), absl::OkStatus());
    EXPECT_TRUE(socket->IsFree());
  }
}

TEST_F(GrpcSocketTest, LargeMessagesAndManyPassInBothDirections) {
  std::unique_ptr<GrpcSocket> socket = Open();
  socket->Begin("/t/Echo", absl::InfiniteDuration());
  std::string large(10 << 20, 'a');
  for (size_t i = 0; i < large.size(); i += 997) large[i] = static_cast<char>(i);
  constexpr int kMany = 2000;
  std::thread writer([&] {
    EXPECT_TRUE(socket->Write(large));
    for (int i = 0; i < kMany; ++i) EXPECT_TRUE(socket->Write(absl::StrCat("message ", i)));
    socket->WritesDone();
  });
  std::string answer;
  ASSERT_TRUE(socket->Read(answer));
  EXPECT_TRUE(answer == large);
  for (int i = 0; i < kMany; ++i) {
    ASSERT_TRUE(socket->Read(answer));
    ASSERT_EQ(answer, absl::StrCat("message ", i));
  }
  EXPECT_FALSE(socket->Read(answer));
  writer.join();
  EXPECT_EQ(socket->Finish(), absl::OkStatus());
}

TEST_F(GrpcSocketTest, AnErrorHasItsCodeItsWordsAndItsReason) {
  std::unique_ptr<GrpcSocket> socket = Open();
  socket->Begin("/t/Fail", absl::Seconds(20));
  socket->Write("x");
  std::string answer;
  EXPECT_FALSE(socket->Read(answer));
  absl::Status status = socket->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "100 % wrong: ü\n");
  EXPECT_EQ(Reason(status), "PORT_IN_USE");
  EXPECT_TRUE(socket->IsFree());
}

TEST_F(GrpcSocketTest, AnEndThatComesWhileThereIsMoreToSayIsTheEnd) {
  std::unique_ptr<GrpcSocket> socket = Open();
  socket->Begin("/t/Ends", absl::Seconds(20));
  socket->Write("x");
  std::string answer;
  EXPECT_TRUE(socket->Read(answer));
  EXPECT_EQ(answer, "last words");
  EXPECT_FALSE(socket->Read(answer));
  EXPECT_FALSE(socket->Write("y"));
  EXPECT_EQ(socket->Finish(), absl::OkStatus());
}

TEST_F(GrpcSocketTest, ASilentPeerIsWaitedForUntilTheTimeOrACancel) {
  std::unique_ptr<GrpcSocket> socket = Open();
  socket->Begin("/t/Hang", absl::InfiniteDuration());
  EXPECT_TRUE(socket->Write("x"));
  EXPECT_FALSE(socket->AwaitRead(absl::Now() + absl::Milliseconds(20)));
  std::string answer;
  std::thread reader([&] { EXPECT_FALSE(socket->Read(answer)); });
  absl::SleepFor(absl::Milliseconds(20));
  socket->Cancel();
  reader.join();
  EXPECT_TRUE(absl::IsCancelled(socket->Finish()));
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (service_.cancelled == 0 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_EQ(service_.cancelled, 1);
  // The connection outlives it.
  ASSERT_TRUE(socket->IsFree());
  socket->Begin("/t/Echo", absl::InfiniteDuration());
  EXPECT_TRUE(socket->Write("again"));
  EXPECT_TRUE(socket->Read(answer));
  EXPECT_EQ(answer, "again");
}

TEST_F(GrpcSocketTest, ThePeerIsToldOfTheTime) {
  std::unique_ptr<GrpcSocket> socket = Open();
  socket->Begin("/t/Hang", absl::Milliseconds(50));
  EXPECT_TRUE(socket->Write("x"));
  std::string answer;
  EXPECT_FALSE(socket->Read(answer));
  EXPECT_FALSE(socket->Finish().ok());
}

TEST_F(GrpcSocketTest, APeerThatGoesIsNoticed) {
  std::unique_ptr<GrpcSocket> idle = Open();
  EXPECT_TRUE(idle->IsFree());
  std::unique_ptr<GrpcSocket> socket = Open();
  socket->Begin("/t/Hang", absl::InfiniteDuration());
  EXPECT_TRUE(socket->Write("x"));
  StopServer();
  std::string answer;
  EXPECT_FALSE(socket->Read(answer));
  EXPECT_FALSE(socket->Finish().ok());
  EXPECT_FALSE(socket->IsFree());
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (idle->IsFree() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_FALSE(idle->IsFree());
  absl::Status gone = GrpcSocket::Open(path()).status();
  EXPECT_EQ(Reason(gone), kConnectionLost);
}

// Speaks no HTTP/2, or none that gRPC would.
TEST(GrpcSocketHostileTest, AnswersThatMakeNoSenseAreErrors) {
  std::string directory = "/tmp/darse_grpc_XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/s";
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  // Empty: it closes at once. The last one is a SETTINGS frame, and then a stream nobody asked for.
  const std::string answers[] = {"", "HTTP/1.1 400 Bad Request\r\n\r\n", std::string(100, '\xff'),
                                 std::string("\0\0\0\4\0\0\0\0\0\0\0\5\0\1\0\0\0\7hello", 23)};
  for (const std::string& bytes : answers) {
    absl::StatusOr<std::unique_ptr<GrpcSocket>> opened = GrpcSocket::Open(path);
    ASSERT_TRUE(opened.ok());
    std::thread peer([&] {
      const int accepted = accept(listener, nullptr, nullptr);
      char request[4096];
      if (!bytes.empty() && read(accepted, request, sizeof(request)) > 0) {
        EXPECT_EQ(write(accepted, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
      }
      shutdown(accepted, SHUT_WR);
      while (read(accepted, request, sizeof(request)) > 0) {
      }
      close(accepted);
    });
    (*opened)->Begin("/t/Echo", absl::InfiniteDuration());
    (*opened)->Write("x");
    std::string answer;
    EXPECT_FALSE((*opened)->Read(answer));
    EXPECT_EQ(Reason((*opened)->Finish()), kConnectionLost);
    EXPECT_FALSE((*opened)->IsFree());
    opened->reset();
    peer.join();
  }
  // One that dies with what it was sent unread: the kernel resets the connection.
  absl::StatusOr<std::unique_ptr<GrpcSocket>> opened = GrpcSocket::Open(path);
  ASSERT_TRUE(opened.ok());
  (*opened)->Begin("/t/Echo", absl::InfiniteDuration());
  EXPECT_TRUE((*opened)->Write("x"));
  close(accept(listener, nullptr, nullptr));
  std::string answer;
  EXPECT_FALSE((*opened)->Read(answer));
  absl::Status reset = (*opened)->Finish();
  EXPECT_EQ(reset.message(), "it closed the connection");
  EXPECT_EQ(Reason(reset), kConnectionLost);

  close(listener);
  EXPECT_EQ(Reason(GrpcSocket::Open(path).status()), kConnectionLost);
  unlink(path.c_str());
  EXPECT_TRUE(absl::StrContains(GrpcSocket::Open(path).status().message(), "no socket"));
  rmdir(directory.c_str());
}

}  // namespace
}  // namespace darse::client
