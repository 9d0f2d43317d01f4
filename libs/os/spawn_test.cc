#include "libs/os/spawn.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "absl/strings/str_cat.h"
#include "libs/os/files.h"

namespace darse {
namespace {

using testing::ElementsAre;

constexpr absl::Duration kLong = absl::Seconds(30);

TEST(SpawnTest, OutputErrorAndExitCodeCome) {
  auto output = RunProgram({.program = "sh", .args = {"-c", "cat; echo oops >&2; exit 3"}},
                           "some input", kLong);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->out, "some input");
  EXPECT_EQ(output->err, "oops\n");
  EXPECT_EQ(output->exit.code, 3);
}

TEST(SpawnTest, MuchInputAndOutputDoNotBlockEachOther) {
  std::string input(1 << 20, 'x');
  auto output = RunProgram({.program = "cat"}, input, kLong);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->out, input);
}

TEST(SpawnTest, AMissingProgramIsNotFound) {
  EXPECT_EQ(Process::Spawn({.program = "/nonexistent/program"}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(SpawnTest, ASignalIsReportedAsDockerDoes) {
  auto process = Process::Spawn({.program = "sleep", .args = {"1000"}});
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(process->WaitFor(absl::Milliseconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(process->Kill(SIGKILL).ok());
  auto exit = process->WaitFor(kLong);
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_EQ(exit->code, 137);
  EXPECT_EQ(exit->signal, SIGKILL);
}

TEST(SpawnTest, AProgramThatDoesNotEndIsKilledAtTheDeadline) {
  EXPECT_EQ(RunProgram({.program = "sleep", .args = {"1000"}}, "", absl::Milliseconds(50))
                .status()
                .code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(SpawnTest, OnlyNamedDescriptorsArePassed) {
  int leaked = ::open("/dev/null", O_RDONLY);
  int high = ::fcntl(leaked, F_DUPFD, 200);
  auto output = RunProgram(
      {.program = "sh", .args = {"-c", "ls /proc/$$/fd"}, .fds = {{leaked, 5}}}, "", kLong);
  ::close(leaked);
  ::close(high);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->out, "0\n1\n2\n5\n");
}

TEST(SpawnTest, DescriptorsMayChangePlaces) {
  // The higher numbers are each other's targets.
  int a = ::fcntl(::open("/dev/zero", O_RDONLY), F_DUPFD, 100);
  int b = ::fcntl(::open("/dev/null", O_RDONLY), F_DUPFD, a + 1);
  auto output =
      RunProgram({.program = "sh",
                  .args = {"-c", absl::StrCat("readlink /proc/$$/fd/", a, " /proc/$$/fd/", b)},
                  .fds = {{a, b}, {b, a}}},
                 "", kLong);
  ::close(a);
  ::close(b);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->out, "/dev/null\n/dev/zero\n");
}

TEST(SpawnTest, EnvironmentDirectoryAndSessionAreAsAsked) {
  auto output =
      RunProgram({.program = "/bin/sh",
                  .args = {"-c", "pwd; echo $A; test $(cut -d' ' -f6 /proc/$$/stat) = $$"},
                  .env = std::vector<std::string>{"A=b c", "PATH=/usr/bin:/bin"},
                  .working_dir = "/usr",
                  .new_session = true},
                 "", kLong);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->out, "/usr\nb c\n");
  EXPECT_EQ(output->exit.code, 0);
}

}  // namespace
}  // namespace darse
