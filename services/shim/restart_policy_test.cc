#include "services/shim/restart_policy.h"

#include "gtest/gtest.h"

namespace darse::shim {
namespace {

TEST(RestartPolicyTest, BackOffDoublesUpToAMinuteAndStartsOverAfterAGoodRun) {
  RestartPolicy policy = {.kind = RestartKind::kAlways};
  RestartHistory history;
  int64_t expected[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000};
  for (int64_t delay : expected) {
    EXPECT_EQ(DecideRestart(policy, {.code = 0, .ran_ms = 9999}, 0, history),
              (RestartDecision{true, delay}));
  }
  EXPECT_EQ(DecideRestart(policy, {.ran_ms = 10'000}, 0, history), (RestartDecision{true, 100}));
  EXPECT_EQ(history.restart_count, 13);
}

TEST(RestartPolicyTest, JitterAddsAtMostAFifth) {
  RestartHistory history;
  EXPECT_EQ(DecideRestart({.kind = RestartKind::kAlways}, {}, UINT32_MAX, history).delay_ms, 120);
}

TEST(RestartPolicyTest, OnFailureEndsWithSuccessOrWhenRetriesAreUsedUp) {
  RestartPolicy policy = {.kind = RestartKind::kOnFailure, .max_retries = 2};
  RestartHistory history;
  EXPECT_TRUE(DecideRestart(policy, {.code = 1}, 0, history).restart);
  EXPECT_TRUE(DecideRestart(policy, {.code = 1}, 0, history).restart);
  EXPECT_FALSE(DecideRestart(policy, {.code = 1}, 0, history).restart);
  // Ten good seconds give the retries back.
  EXPECT_TRUE(DecideRestart(policy, {.code = 1, .ran_ms = 10'000}, 0, history).restart);
  EXPECT_FALSE(DecideRestart(policy, {.code = 0}, 0, history).restart);
}

TEST(RestartPolicyTest, AMaximumInAWindowHoldsHoweverLongARunWas) {
  RestartPolicy policy = {
      .kind = RestartKind::kAlways, .max_retries = 2, .window_ms = 60'000, .delay_ms = 5};
  RestartHistory history;
  auto restarts = [&](int64_t at_ms) {
    return DecideRestart(policy, {.ran_ms = 15'000, .at_ms = at_ms}, 0, history).restart;
  };
  EXPECT_TRUE(restarts(15'000));
  EXPECT_TRUE(restarts(30'000));
  EXPECT_FALSE(restarts(74'999));
  // The first one is a minute ago, then the second.
  EXPECT_TRUE(restarts(75'000));
  EXPECT_FALSE(restarts(89'999));
  EXPECT_TRUE(restarts(90'000));
}

TEST(RestartPolicyTest, TheFirstDelayIsTheUsersAndDoublesUnlessItIsLongAlready) {
  RestartHistory history;
  RestartPolicy policy = {.kind = RestartKind::kAlways, .delay_ms = 40'000};
  for (int64_t delay : {40'000, 60'000, 60'000}) {
    EXPECT_EQ(DecideRestart(policy, {}, 0, history).delay_ms, delay);
  }
  history = {};
  policy.delay_ms = 300'000;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(DecideRestart(policy, {}, 0, history).delay_ms, 300'000);
}

TEST(RestartPolicyTest, AStopByRequestIsNeverFollowedByARestart) {
  for (RestartKind kind : {RestartKind::kNo, RestartKind::kOnFailure, RestartKind::kAlways,
                           RestartKind::kUnlessStopped}) {
    RestartHistory history;
    EXPECT_FALSE(DecideRestart({.kind = kind}, {.code = 1, .stopped = true}, 0, history).restart);
  }
}

}  // namespace
}  // namespace darse::shim
