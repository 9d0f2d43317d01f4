#include "services/runtime/containers/health_policy.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1000);
const HealthRecord kStarting{.status = HealthStatus::kStarting};

ProbeResult Probe(int seconds, int exit_code) {
  absl::Time at = kStart + absl::Seconds(seconds);
  return {.started_at = at, .ended_at = at, .exit_code = exit_code, .output = "x"};
}

TEST(HealthPolicyTest, DefaultsAreDockers) {
  v1::Healthcheck check;
  check.add_test("CMD-SHELL");
  check.add_test("exit 0");
  HealthPlan plan = PlanHealth(check);
  EXPECT_EQ(plan.interval, absl::Seconds(30));
  EXPECT_EQ(plan.retries, 3);
  EXPECT_THAT(plan.args, ElementsAre("/bin/sh", "-c", "exit 0"));
}

TEST(HealthPolicyTest, OneSuccessMakesHealthy) {
  HealthRecord sick{.status = HealthStatus::kUnhealthy, .failing_streak = 9};
  HealthRecord health = NextHealth({}, sick, kStart, Probe(1, 0));
  EXPECT_EQ(health.status, HealthStatus::kHealthy);
  EXPECT_EQ(health.failing_streak, 0);
}

TEST(HealthPolicyTest, FailuresInARowMakeUnhealthy) {
  HealthRecord health = kStarting;
  for (int i = 1; i <= 2; ++i) health = NextHealth({}, health, kStart, Probe(i, 1));
  EXPECT_EQ(health.status, HealthStatus::kStarting);
  health = NextHealth({}, health, kStart, Probe(3, 1));
  EXPECT_EQ(health.status, HealthStatus::kUnhealthy);
}

TEST(HealthPolicyTest, FailuresInTheStartPeriodDoNotCount) {
  HealthPlan plan{.start_period = absl::Seconds(10)};
  HealthRecord health = kStarting;
  for (int i = 0; i < 9; ++i) health = NextHealth(plan, health, kStart, Probe(i, 1));
  EXPECT_EQ(health.failing_streak, 0);
  EXPECT_EQ(NextHealth(plan, health, kStart, Probe(11, 1)).failing_streak, 1);
}

TEST(HealthPolicyTest, FailuresAfterTheFirstSuccessCountInTheStartPeriodToo) {
  HealthPlan plan{.start_period = absl::Seconds(10)};
  HealthRecord health = NextHealth(plan, kStarting, kStart, Probe(1, 0));
  EXPECT_EQ(NextHealth(plan, health, kStart, Probe(2, 1)).failing_streak, 1);
}

TEST(HealthPolicyTest, ProbesComeFasterInTheStartPeriod) {
  HealthPlan plan{.start_period = absl::Seconds(10), .start_interval = absl::Seconds(1)};
  EXPECT_EQ(NextProbeDelay(plan, kStarting, kStart, kStart), absl::Seconds(1));
  EXPECT_EQ(NextProbeDelay(plan, kStarting, kStart, kStart + absl::Seconds(11)), absl::Seconds(30));
}

}  // namespace
}  // namespace darse::runtime
