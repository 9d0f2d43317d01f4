#include "services/scheduler/stacks/stack_board.h"

#include <gtest/gtest.h>

namespace darse::scheduler {
namespace {

Plan BuildThenCreate(Block of_the_build) {
  Plan plan;
  plan.steps = {
      {.action = v1::PlanStep::BUILD_IMAGE,
       .name = "web",
       .key = "build web",
       .block = of_the_build,
       .waiting = of_the_build == Block::kPeer ? "waiting for builder since 10:00:00" : ""},
      {.action = v1::PlanStep::CREATE_CONTAINER,
       .name = "shop-web-1",
       .key = "web/1",
       .block = Block::kOrder}};
  return plan;
}

TEST(StackBoardTest, StepUnderWayMovesTheStack) {
  Standing standing = StandingOf(BuildThenCreate(Block::kNone), false, {"build web"}, {});
  EXPECT_EQ(standing.state, v1::STACK_STATE_CONVERGING);
}

TEST(StackBoardTest, StepThatHangsOnAMissingPeerWaits) {
  Standing standing = StandingOf(BuildThenCreate(Block::kPeer), false, {"build web"}, {});
  EXPECT_EQ(standing.state, v1::STACK_STATE_WAITING);
  EXPECT_EQ(standing.message, "waiting for builder since 10:00:00: web");
}

TEST(StackBoardTest, OtherStepUnderWayStillMoves) {
  Standing standing = StandingOf(BuildThenCreate(Block::kPeer), false, {"build web", "db/1"}, {});
  EXPECT_EQ(standing.state, v1::STACK_STATE_CONVERGING);
}

TEST(StackBoardTest, StepThatFailedIsSaid) {
  Standing standing = StandingOf(BuildThenCreate(Block::kNone), false, {},
                                 {{"build web", {.count = 1, .message = "no such base"}}});
  EXPECT_EQ(standing.state, v1::STACK_STATE_FAILED);
  EXPECT_EQ(standing.message, "no such base");
}

}  // namespace
}  // namespace darse::scheduler
