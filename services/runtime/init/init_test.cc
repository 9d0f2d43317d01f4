#include <signal.h>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libs/os/files.h"
#include "libs/os/spawn.h"

namespace darse::runtime {
namespace {

SpawnOptions Init(const std::string& script) {
  return {.program = "services/runtime/init/darse-init", .args = {"--", "/bin/sh", "-c", script}};
}

TEST(InitTest, EndsAsItsCommandEnds) {
  absl::StatusOr<ProgramOutput> output = RunProgram(Init("exit 7"), "", absl::Seconds(10));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit.code, 7);
}

TEST(InitTest, DeathBySignalIsAbove128) {
  absl::StatusOr<ProgramOutput> output = RunProgram(Init("kill -KILL $$"), "", absl::Seconds(10));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit.code, 128 + SIGKILL);
}

TEST(InitTest, MissingCommandIs127) {
  absl::StatusOr<ProgramOutput> output =
      RunProgram({.program = "services/runtime/init/darse-init", .args = {"--", "/no/such"}}, "",
                 absl::Seconds(10));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit.code, 127);
}

TEST(InitTest, HandsSignalsOn) {
  absl::StatusOr<ProgramOutput> output =
      RunProgram(Init("trap 'echo got; exit 3' USR1; kill -USR1 $PPID; "
                      "while :; do sleep 0.01; done"),
                 "", absl::Seconds(10));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->out, "got\n");
  EXPECT_EQ(output->exit.code, 3);
}

TEST(InitTest, OrphansAreReaped) {
  // The orphan ends before the command looks for a child of init that is a zombie.
  absl::StatusOr<ProgramOutput> output = RunProgram(
      Init(
          "(sleep 0.05 & echo $! > /dev/null) ; sleep 0.3; "
          "for s in /proc/[0-9]*/stat; do read -r line < $s 2>/dev/null || continue; "
          "set -- ${line##*) }; [ \"$1\" = Z ] && [ \"$2\" = $PPID ] && echo zombie; done; exit 0"),
      "", absl::Seconds(10));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->out, "");
}

}  // namespace
}  // namespace darse::runtime
