// A restart policy in the shim's words. Pure.
#pragma once

#include "darse/runtime/v1/container.pb.h"
#include "services/shim/restart_policy.h"

namespace darse::runtime {

inline shim::RestartPolicy ShimPolicy(const v1::RestartPolicy& policy) {
  auto ms = [](const google::protobuf::Duration& time) {
    return time.seconds() * 1000 + time.nanos() / 1'000'000;
  };
  shim::RestartPolicy shims = {.max_retries = policy.max_retries(),
                               .window_ms = ms(policy.window())};
  if (policy.has_delay()) shims.delay_ms = ms(policy.delay());
  switch (policy.kind()) {
    case v1::RestartPolicy::ON_FAILURE:
      shims.kind = shim::RestartKind::kOnFailure;
      break;
    case v1::RestartPolicy::ALWAYS:
      shims.kind = shim::RestartKind::kAlways;
      break;
    case v1::RestartPolicy::UNLESS_STOPPED:
      shims.kind = shim::RestartKind::kUnlessStopped;
      break;
    default:
      return {};
  }
  return shims;
}

}  // namespace darse::runtime
