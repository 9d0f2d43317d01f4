#include "services/runtime/shims/shim_pool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <set>

#include "absl/strings/str_cat.h"
#include "libs/base/clock.h"

namespace darse::runtime {
namespace {

// What is parked is a sleeping process of our own.
class ShimPoolTest : public testing::Test {
 protected:
  std::unique_ptr<ShimPool> Make(int size) {
    return std::make_unique<ShimPool>(
        ShimPool::Options{.size = size,
                          .park = [this]() -> absl::StatusOr<ParkedShim> {
                            auto process = Process::Spawn({.program = "sleep", .args = {"600"}});
                            if (!process.ok()) return process.status();
                            pids_.insert(process->pid());
                            return ParkedShim{.id = absl::StrCat("id", ++made_),
                                              .process = *std::move(process)};
                          },
                          .memory =
                              [this] {
                                return std::pair<int64_t, int64_t>{available_, int64_t{4} << 30};
                              },
                          .let_go = [this](const ParkedShim&) { ++let_go_; }},
        clock_);
  }
  ~ShimPoolTest() override {
    for (int pid : pids_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }
  absl::Time Soon() { return clock_.Now() + absl::Seconds(20); }

  RealClock clock_;
  std::atomic<int> made_{0}, let_go_{0};
  std::atomic<int64_t> available_{int64_t{2} << 30};
  std::set<int> pids_;
};

TEST_F(ShimPoolTest, GivesEachOnceAndFillsUpAgain) {
  std::unique_ptr<ShimPool> pool = Make(2);
  ASSERT_TRUE(pool->WaitUntilFull(Soon()));
  std::set<std::string> ids;
  for (int i = 0; i < 6; ++i) {
    std::optional<ParkedShim> shim = pool->Take();
    ASSERT_TRUE(shim.has_value());
    EXPECT_TRUE(ids.insert(shim->id).second);
    ASSERT_TRUE(pool->WaitUntilFull(Soon()));
  }
}

TEST_F(ShimPoolTest, AnEmptyPoolAnswersAtOnce) {
  std::unique_ptr<ShimPool> pool = Make(0);
  EXPECT_FALSE(pool->Take().has_value());
}

TEST_F(ShimPoolTest, OneThatHasDiedIsNotGiven) {
  std::unique_ptr<ShimPool> pool = Make(1);
  ASSERT_TRUE(pool->WaitUntilFull(Soon()));
  int pid = *pids_.begin();
  kill(pid, SIGKILL);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(pool->Take().has_value());
  EXPECT_EQ(let_go_.load(), 1);
}

TEST_F(ShimPoolTest, NothingIsKeptWhileMemoryIsShort) {
  available_ = int64_t{10} << 20;
  std::unique_ptr<ShimPool> pool = Make(1);
  EXPECT_FALSE(pool->WaitUntilFull(clock_.Now() + absl::Milliseconds(200)));
  EXPECT_EQ(made_.load(), 0);
}

TEST(HostMemoryTest, ReadsTheKernelsFigures) {
  auto [available, total] = HostMemory();
  EXPECT_GT(available, 0);
  EXPECT_GE(total, available);
}

}  // namespace
}  // namespace darse::runtime
