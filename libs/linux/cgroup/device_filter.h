// The device list of a v2 cgroup: a BPF program that answers yes or no to each open and mknod.
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "absl/status/status.h"
#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::cgroup {

// Pure. The last rule that matches decides; without one: no.
std::vector<bpf_insn> CompileDeviceFilter(const std::vector<DeviceRule>& rules);

// Puts the program in the place of those attached before.
absl::Status InstallDeviceFilter(int cgroup_fd, const std::vector<DeviceRule>& rules);

}  // namespace darse::cgroup
