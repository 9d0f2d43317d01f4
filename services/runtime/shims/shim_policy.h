// A restart policy in the shim's words. Pure.
#pragma once

#include "darse/runtime/v1/container.pb.h"
#include "services/shim/restart_policy.h"

namespace darse::runtime {

inline shim::RestartPolicy ShimPolicy(const v1::RestartPolicy& policy) {
  switch (policy.kind()) {
    case v1::RestartPolicy::ON_FAILURE:
      return {shim::RestartKind::kOnFailure, policy.max_retries()};
    case v1::RestartPolicy::ALWAYS:
      return {shim::RestartKind::kAlways, 0};
    case v1::RestartPolicy::UNLESS_STOPPED:
      return {shim::RestartKind::kUnlessStopped, 0};
    default:
      return {};
  }
}

}  // namespace darse::runtime
