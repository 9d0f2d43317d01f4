// What both drivers make of a limit.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::cgroup {

// A line of rdma.max: "mlx4_0 hca_handle=2 hca_object=max".
std::string RdmaLine(const std::string& device, const RdmaLimit& limit);

// FAILED_PRECONDITION where limits.memory_check_before_update forbids a limit below `usage_bytes`.
absl::Status CheckMemoryInUse(const Limits& limits, uint64_t usage_bytes);

}  // namespace darse::cgroup
