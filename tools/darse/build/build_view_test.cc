#include "tools/darse/build/build_view.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

using namespace darse::builder::v1;  // NOLINT: message names only
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

BuildEvent Started(int step, const std::string& name) {
  BuildEvent event;
  *event.mutable_time() = ToProto(kNow);
  event.mutable_step_started()->set_step(step);
  event.mutable_step_started()->set_name(name);
  return event;
}
BuildEvent Output(int step, const std::string& text) {
  BuildEvent event;
  event.mutable_output()->set_step(step);
  event.mutable_output()->set_text(text);
  return event;
}
BuildEvent Finished(int step, bool cached, const std::string& error = "") {
  BuildEvent event;
  *event.mutable_time() = ToProto(kNow + absl::Milliseconds(1500));
  event.mutable_step_finished()->set_step(step);
  event.mutable_step_finished()->set_cached(cached);
  event.mutable_step_finished()->set_error(error);
  return event;
}

TEST(BuildViewTest, InAPipeEveryLineCarriesItsStep) {
  BuildView view({});
  std::string out = view.Take(Started(2, "[2/3] RUN make"), kNow);
  out += view.Take(Output(2, "one\ntw"), kNow);
  out += view.Take(Output(2, "o\n"), kNow);
  out += view.Take(Output(2, "no newline"), kNow);
  out += view.Take(Finished(2, false), kNow);
  EXPECT_EQ(out, "#2 [2/3] RUN make\n#2 one\n#2 two\n#2 no newline\n#2 DONE 1.5s\n");
}

TEST(BuildViewTest, CachedAndFailedStepsSaySo) {
  BuildView view({});
  view.Take(Started(1, "a"), kNow);
  EXPECT_EQ(view.Take(Finished(1, true), kNow), "#1 CACHED\n");
  view.Take(Started(2, "b"), kNow);
  EXPECT_EQ(view.Take(Finished(2, false, "exit code 2"), kNow), "#2 ERROR: exit code 2\n");
}

TEST(BuildViewTest, OnATerminalRunningStepsAreRedrawnInPlace) {
  BuildView view({.terminal = true});
  EXPECT_EQ(view.Take(Started(1, "a"), kNow), "=> a  0.0s\n");
  EXPECT_EQ(view.Redraw(kNow + absl::Seconds(2)), "\x1b[1A\x1b[2K=> a  2.0s\n");
  EXPECT_THAT(view.Take(Output(1, "working\n"), kNow), HasSubstr("   | working\n"));
  const std::string end = view.Take(Finished(1, false), kNow);
  EXPECT_THAT(end, HasSubstr("✓ a  1.5s\n"));
  EXPECT_THAT(end, Not(HasSubstr("working")));
  EXPECT_EQ(view.Redraw(kNow), "");
}

TEST(BuildViewTest, AFailedStepKeepsItsLastOutputOnTheTerminal) {
  BuildView view({.terminal = true});
  view.Take(Started(1, "a"), kNow);
  view.Take(Output(1, "gcc: no such file\n"), kNow);
  EXPECT_THAT(view.Take(Finished(1, false, "exit code 1"), kNow),
              HasSubstr("   | gcc: no such file\n"));
}

TEST(BuildViewTest, WaitingForAPeerIsShown) {
  BuildView view({});
  BuildEvent event;
  event.mutable_build()->set_state(BUILD_STATE_WAITING);
  event.mutable_build()->set_waiting_for("waiting for runtime since 12:00:00");
  EXPECT_EQ(view.Take(event, kNow), "waiting for runtime since 12:00:00\n");
}

TEST(BuildViewTest, CarriageReturnsKeepOnlyTheLastState) {
  BuildView view({});
  view.Take(Started(1, "a"), kNow);
  EXPECT_EQ(view.Take(Output(1, "10%\r50%\r100%\n"), kNow), "#1 100%\n");
}

}  // namespace
}  // namespace darse::client
