#include "tools/darse/top/top_view.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/darse/output/units.h"

namespace darse::client {
namespace {

using namespace darse::metrics::v1;  // NOLINT: message names only
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Frame Three() {
  Frame frame;
  frame.mutable_host()->set_cpu_percent(50);
  frame.mutable_host()->set_memory_total_bytes(int64_t{4} << 30);
  frame.mutable_host()->set_memory_available_bytes(int64_t{3} << 30);
  for (int i = 0; i < 3; ++i) {
    ContainerSample& sample = *frame.add_containers();
    sample.set_name(std::string(1, static_cast<char>('a' + i)));
    sample.set_cpu_percent(i == 1 ? 90 : i);
    sample.set_memory_working_set_bytes(1000 * (3 - i));
    sample.set_state("running");
  }
  return frame;
}

std::vector<std::string> Names(const TopState& state) {
  std::vector<std::string> names;
  for (const ContainerSample& sample : Sorted(Three(), state)) names.push_back(sample.name());
  return names;
}

TEST(TopViewTest, KeysSortAndTheSameKeyAgainReverses) {
  TopState state;
  EXPECT_THAT(Names(state), ElementsAre("b", "c", "a"));
  TakeKeys("m", 3, state);
  EXPECT_THAT(Names(state), ElementsAre("a", "b", "c"));
  TakeKeys("m", 3, state);
  EXPECT_THAT(Names(state), ElementsAre("c", "b", "a"));
  TakeKeys("a", 3, state);
  EXPECT_THAT(Names(state), ElementsAre("a", "b", "c"));
  TakeKeys("r", 3, state);
  EXPECT_THAT(Names(state), ElementsAre("c", "b", "a"));
}

TEST(TopViewTest, ArrowsMoveWithinTheRows) {
  TopState state;
  TakeKeys("\x1b[B\x1b[B\x1b[B\x1b[B", 3, state);
  EXPECT_EQ(state.selected, 2);
  TakeKeys("\x1b[A", 3, state);
  EXPECT_EQ(state.selected, 1);
  TakeKeys("\x1b[5~", 3, state);
  EXPECT_EQ(state.selected, 0);
  EXPECT_FALSE(state.quit);
  TakeKeys("q", 3, state);
  EXPECT_TRUE(state.quit);
}

TEST(TopViewTest, NoLineIsWiderThanTheScreen) {
  for (int columns : {40, 80, 120, 200}) {
    TopState state;
    Frame frame = Three();
    frame.mutable_containers(0)->set_name(std::string(200, 'x'));
    frame.mutable_containers(0)->set_stack(std::string(200, 'y'));
    for (const std::string& line :
         TopLines(frame, "a notice", {.columns = columns, .rows = 20}, state)) {
      EXPECT_LE(Width(line), static_cast<size_t>(columns)) << line;
    }
  }
}

TEST(TopViewTest, TheScreenIsFilledExactly) {
  TopState state;
  EXPECT_EQ(TopLines(Three(), "", {.columns = 100, .rows = 24}, state).size(), 24u);
}

TEST(TopViewTest, TheMarkedRowIsAlwaysVisible) {
  TopState state;
  TakeKeys("ajj", 3, state);
  // Five lines of header and one of keys leave one row.
  const auto lines = TopLines(Three(), "", {.columns = 100, .rows = 7}, state);
  EXPECT_THAT(lines[5], HasSubstr("c "));
  EXPECT_EQ(state.scroll, 2);
}

TEST(TopViewTest, TheNoticeIsShown) {
  TopState state;
  EXPECT_THAT(TopLines(Three(), "metrics is missing", {.columns = 100}, state)[3],
              HasSubstr("metrics is missing"));
}

TEST(TopViewTest, BarsFillByPercent) {
  EXPECT_EQ(Bar(0, 4), "[    ]");
  EXPECT_EQ(Bar(50, 4), "[||  ]");
  EXPECT_EQ(Bar(250, 4), "[||||]");
}

}  // namespace
}  // namespace darse::client
