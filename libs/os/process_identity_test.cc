#include "libs/os/process_identity.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "libs/os/spawn.h"

namespace darse {
namespace {

TEST(ProcessIdentityTest, AProcessIsItselfUntilItExits) {
  auto process = Process::Spawn({.program = "sleep", .args = {"1000"}});
  ASSERT_TRUE(process.ok());
  auto identity = IdentifyProcess(process->pid());
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_TRUE(IsAlive(*identity));
  EXPECT_TRUE(OpenProcess(*identity).ok());
  ASSERT_TRUE(KillProcess(*identity, SIGKILL).ok());
  ASSERT_TRUE(process->WaitFor(absl::Seconds(30)).ok());
  EXPECT_FALSE(IsAlive(*identity));
  EXPECT_EQ(KillProcess(*identity, SIGKILL).code(), absl::StatusCode::kNotFound);
}

TEST(ProcessIdentityTest, AnotherProcessWithTheSamePidIsNotSignalled) {
  auto identity = IdentifyProcess(::getpid());
  ASSERT_TRUE(identity.ok());
  identity->start_time += 1;
  EXPECT_FALSE(IsAlive(*identity));
  EXPECT_EQ(KillProcess(*identity, SIGKILL).code(), absl::StatusCode::kNotFound);
}

TEST(ProcessIdentityTest, ItsTextIsReadBack) {
  ProcessIdentity identity{.pid = 12, .start_time = 3456};
  EXPECT_EQ(FormatIdentity(identity), "12 3456\n");
  EXPECT_EQ(ParseIdentity("12 3456\n").value(), identity);
  for (absl::string_view bad : {"", "12", "0 1", "-1 2", "1 2 3", "x 1"}) {
    EXPECT_FALSE(ParseIdentity(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace darse
