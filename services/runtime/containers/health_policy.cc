#include "services/runtime/containers/health_policy.h"

#include "services/runtime/containers/proto_duration.h"

namespace darse::runtime {
namespace {

constexpr size_t kMaxOutput = 4 << 10;

bool InStartPeriod(const HealthPlan& plan, const HealthRecord& health,
                   absl::Time container_started_at, absl::Time at) {
  return health.status == HealthStatus::kStarting && at < container_started_at + plan.start_period;
}

}  // namespace

HealthPlan PlanHealth(const v1::Healthcheck& check) {
  HealthPlan plan;
  auto take = [](const google::protobuf::Duration& from, absl::Duration& to) {
    if (from.seconds() != 0 || from.nanos() != 0) to = ToDuration(from);
  };
  take(check.interval(), plan.interval);
  take(check.timeout(), plan.timeout);
  take(check.start_period(), plan.start_period);
  take(check.start_interval(), plan.start_interval);
  if (check.retries() > 0) plan.retries = check.retries();
  if (check.test(0) == "CMD-SHELL") {
    plan.args = {"/bin/sh", "-c", check.test(1)};
  } else {
    plan.args.assign(check.test().begin() + 1, check.test().end());
  }
  return plan;
}

HealthRecord NextHealth(const HealthPlan& plan, const HealthRecord& before,
                        absl::Time container_started_at, const ProbeResult& probe) {
  HealthRecord health = before;
  health.last_output = probe.output.substr(0, kMaxOutput);
  health.last_probe_at = probe.ended_at;
  if (probe.exit_code == 0) {
    health.status = HealthStatus::kHealthy;
    health.failing_streak = 0;
    return health;
  }
  if (InStartPeriod(plan, before, container_started_at, probe.started_at)) return health;
  ++health.failing_streak;
  if (health.failing_streak >= plan.retries) health.status = HealthStatus::kUnhealthy;
  return health;
}

absl::Duration NextProbeDelay(const HealthPlan& plan, const HealthRecord& health,
                              absl::Time container_started_at, absl::Time now) {
  return InStartPeriod(plan, health, container_started_at, now) ? plan.start_interval
                                                                : plan.interval;
}

}  // namespace darse::runtime
