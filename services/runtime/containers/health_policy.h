// What a probe's result makes of a container's health, and when the next probe is due: Docker's
// rules. Pure.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "darse/runtime/v1/container.pb.h"
#include "services/runtime/containers/container_record.h"

namespace darse::runtime {

// A healthcheck with Docker's defaults filled in.
struct HealthPlan {
  absl::Duration interval = absl::Seconds(30);
  absl::Duration timeout = absl::Seconds(30);
  absl::Duration start_period = absl::ZeroDuration();
  absl::Duration start_interval = absl::Seconds(5);
  int retries = 3;
  // What to execute.
  std::vector<std::string> args;
};

HealthPlan PlanHealth(const v1::Healthcheck& check);

struct ProbeResult {
  absl::Time started_at;
  absl::Time ended_at;
  // Anything but 0 is a failure.
  int exit_code = 0;
  // Cut to 4 KiB.
  std::string output;
};

// A success makes healthy at once. A failure within the start period of a container that was never
// healthy counts for nothing; otherwise `retries` failures in a row make unhealthy.
HealthRecord NextHealth(const HealthPlan& plan, const HealthRecord& before,
                        absl::Time container_started_at, const ProbeResult& probe);

// From now, or from the end of the newest probe.
absl::Duration NextProbeDelay(const HealthPlan& plan, const HealthRecord& health,
                              absl::Time container_started_at, absl::Time now);

}  // namespace darse::runtime
