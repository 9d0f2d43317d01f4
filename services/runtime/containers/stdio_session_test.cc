#include "services/runtime/containers/stdio_session.h"

#include <fcntl.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) abort();
    read_end.Reset(fds[0]);
    write_end.Reset(fds[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

class StdioSessionTest : public ::testing::Test {
 protected:
  std::shared_ptr<StdioSession> Make(StdioSession::Options options) {
    return std::make_shared<StdioSession>(loop_, std::move(options), [this] {
      absl::MutexLock lock(&mu_);
      ++wakes_;
    });
  }
  // Pulls until something other than kNothing comes.
  absl::StatusOr<StdioOutput> Next(StdioSession& session) {
    for (int seen = 0;;) {
      absl::StatusOr<StdioOutput> output = session.Read();
      if (!output.ok() || output->kind != StdioOutput::Kind::kNothing) return output;
      absl::MutexLock lock(&mu_);
      auto woken = [this, seen]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return wakes_ > seen; };
      if (!mu_.AwaitWithTimeout(absl::Condition(&woken), absl::Seconds(5))) {
        return absl::DeadlineExceededError("nothing came");
      }
      seen = wakes_;
    }
  }

  RealClock clock_;
  IoLoop loop_{clock_};
  absl::Mutex mu_;
  int wakes_ = 0;
};

TEST_F(StdioSessionTest, OutputComesBeforeTheExit) {
  Pipe out;
  std::shared_ptr<StdioSession> session = Make({});
  session->Open({.out = std::move(out.read_end)});
  session->SetExit(3);
  ASSERT_EQ(write(out.write_end.get(), "hi", 2), 2);
  out.write_end.Reset();
  EXPECT_EQ(Next(*session)->bytes, "hi");
  absl::StatusOr<StdioOutput> last = Next(*session);
  EXPECT_EQ(last->kind, StdioOutput::Kind::kExit);
  EXPECT_EQ(last->exit_code, 3);
}

TEST_F(StdioSessionTest, ChildThatKeepsThePipeDoesNotKeepTheSession) {
  Pipe out;
  std::shared_ptr<StdioSession> session = Make({.ends_at_exit = true});
  session->Open({.out = std::move(out.read_end)});
  ASSERT_EQ(write(out.write_end.get(), "hi", 2), 2);
  session->SetExit(0);
  EXPECT_EQ(Next(*session)->bytes, "hi");
  EXPECT_EQ(Next(*session)->kind, StdioOutput::Kind::kExit);
}

TEST_F(StdioSessionTest, WakesWhenOutputComes) {
  Pipe out;
  std::shared_ptr<StdioSession> session = Make({});
  session->Open({.out = std::move(out.read_end)});
  EXPECT_EQ(session->Read()->kind, StdioOutput::Kind::kNothing);
  ASSERT_EQ(write(out.write_end.get(), "late", 4), 4);
  EXPECT_EQ(Next(*session)->bytes, "late");
}

TEST_F(StdioSessionTest, InputBeforeOpenIsKept) {
  Pipe in;
  std::shared_ptr<StdioSession> session = Make({});
  session->Write("early");
  session->Open({.in = std::move(in.write_end)});
  session->CloseInput();
  char bytes[16];
  EXPECT_EQ(read(in.read_end.get(), bytes, sizeof(bytes)), 5);
  EXPECT_EQ(read(in.read_end.get(), bytes, sizeof(bytes)), 0);
}

TEST_F(StdioSessionTest, EndOfInputWaitsUntilThePipeIsEmpty) {
  Pipe in;
  absl::Mutex mu;
  bool drained = false;
  std::shared_ptr<StdioSession> session = Make({.input_drained = [&] {
    absl::MutexLock lock(&mu);
    drained = true;
  }});
  session->Open({.in = std::move(in.write_end)});
  session->Write("data");
  session->CloseInput();
  {
    absl::MutexLock lock(&mu);
    EXPECT_FALSE(mu.AwaitWithTimeout(absl::Condition(&drained), absl::Milliseconds(20)));
  }
  char bytes[16];
  EXPECT_EQ(read(in.read_end.get(), bytes, sizeof(bytes)), 4);
  absl::MutexLock lock(&mu);
  EXPECT_TRUE(mu.AwaitWithTimeout(absl::Condition(&drained), absl::Seconds(5)));
}

TEST_F(StdioSessionTest, FullPipeMakesTheClientWait) {
  Pipe in;
  std::shared_ptr<StdioSession> session = Make({});
  session->Open({.in = std::move(in.write_end)});
  for (int i = 0; i < 5 && session->WantsInput(); ++i) session->Write(std::string(64 << 10, 'x'));
  EXPECT_FALSE(session->WantsInput());
}

}  // namespace
}  // namespace darse::runtime
