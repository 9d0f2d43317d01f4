#include "libs/container/hooks.h"

#include <stdlib.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/os/files.h"

namespace darse::container {
namespace {

using testing::HasSubstr;

class HooksTest : public testing::Test {
 protected:
  HooksTest() {
    char name[] = "/tmp/darse-hooks-XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~HooksTest() override { RemoveTree(directory_).IgnoreError(); }

  Hook Shell(const std::string& script) {
    return {.path = "/bin/sh",
            .args = {"a-name-that-is-longer-than-any-small-string-buffer", "-c", script, "arg0",
                     "first argument, also long enough to live on the heap"},
            .env = {"VARIABLE=value", "OUT=" + directory_ + "/out"}};
  }
  std::string Out() { return ReadFile(directory_ + "/out").value_or("(none)"); }

  std::string directory_;
};

TEST_F(HooksTest, GetArgumentsEnvironmentAndStateAsTheyAre) {
  Hook hook = Shell("echo \"$1|$VARIABLE|$(cat)|$(cat /proc/$$/cmdline | tr '\\0' ' ')\" > $OUT");
  ASSERT_TRUE(RunHooks({hook}, "{state}").ok());
  EXPECT_THAT(Out(), HasSubstr("first argument, also long enough to live on the heap|value|{state}|"
                               "a-name-that-is-longer-than-any-small-string-buffer -c"));
}

TEST_F(HooksTest, WithoutArgumentsThePathIsTheFirst) {
  EXPECT_TRUE(RunHooks({{.path = "/bin/true"}}, "{}").ok());
}

TEST_F(HooksTest, EachReadsTheWholeState) {
  Hook hook = Shell("cat >> $OUT");
  ASSERT_TRUE(RunHooks({hook, hook}, "once.").ok());
  EXPECT_EQ(Out(), "once.once.");
}

TEST_F(HooksTest, AFailureSaysWhatTheHookSaid) {
  absl::Status failed = RunHooks({Shell("echo no space for this >&2; exit 3")}, "{}");
  EXPECT_THAT(std::string(failed.message()), HasSubstr("exit code 3: no space for this"));
  failed = RunHooks({Shell("kill -9 $$")}, "{}");
  EXPECT_THAT(std::string(failed.message()), HasSubstr("killed by signal 9"));
}

TEST_F(HooksTest, MuchTalkDoesNotBlockAndOnlyItsEndIsKept) {
  absl::Status failed =
      RunHooks({Shell("yes | head -c 300000 >&2; echo the end >&2; exit 1")}, "{}");
  EXPECT_THAT(std::string(failed.message()), HasSubstr("the end"));
  EXPECT_LT(failed.message().size(), 3000u);
}

TEST_F(HooksTest, OneThatTakesTooLongIsKilled) {
  Hook hook = Shell("exec sleep 100");
  hook.timeout_s = 1;
  EXPECT_EQ(RunHooks({hook}, "{}").code(), absl::StatusCode::kDeadlineExceeded);
}

// Only the hook is waited for, not what it has left running with its stderr open.
TEST_F(HooksTest, WhatItLeavesRunningIsNotWaitedFor) {
  Hook hook = Shell("sleep 2 & exit 0");
  hook.timeout_s = 1;
  EXPECT_TRUE(RunHooks({hook}, "{}").ok());
}

}  // namespace
}  // namespace darse::container
