#include "services/runtime/containers/lifecycle.h"

#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

using enum ContainerState;

TEST(LifecycleTest, CreatedContainerCanBeStarted) {
  EXPECT_EQ(*Next(kCreated, Verb::kStart), kRunning);
}

TEST(LifecycleTest, RunningContainerCannotBeStartedAgain) {
  EXPECT_EQ(Next(kRunning, Verb::kStart).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(LifecycleTest, PausedContainerCannotBePausedAgain) {
  EXPECT_FALSE(Next(kPaused, Verb::kPause).ok());
}

TEST(LifecycleTest, PausedContainerTakesNoExec) { EXPECT_FALSE(Next(kPaused, Verb::kExec).ok()); }

TEST(LifecycleTest, RunningContainerCannotBeRemoved) {
  EXPECT_FALSE(Next(kRunning, Verb::kRemove).ok());
  EXPECT_FALSE(Next(kRestarting, Verb::kRemove).ok());
}

TEST(LifecycleTest, RemovalMayBeResumedAfterACrash) {
  EXPECT_EQ(*Next(kRemoving, Verb::kRemove), kRemoving);
}

TEST(LifecycleTest, EveryLiveStateCanDie) {
  for (ContainerState state : {kRunning, kPaused, kRestarting}) {
    EXPECT_TRUE(IsLive(state));
    EXPECT_EQ(*Next(state, Verb::kDied), kExited);
  }
}

TEST(LifecycleTest, DeadContainerCannotDieAgain) {
  for (ContainerState state : {kCreated, kExited, kRemoving}) {
    EXPECT_FALSE(IsLive(state));
    EXPECT_FALSE(Next(state, Verb::kDied).ok());
  }
}

TEST(LifecycleTest, BackOffLeadsThroughRestartingToRunning) {
  EXPECT_EQ(*Next(kRunning, Verb::kBackedOff), kRestarting);
  EXPECT_EQ(*Next(kRestarting, Verb::kRespawned), kRunning);
}

}  // namespace
}  // namespace darse::runtime
