// What the kernel counts for one container and for the host, as read at one moment. Rates are made
// of two of them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/metrics/samples/kernel_text.h"

namespace darse::metrics {

struct CgroupCounters {
  uint64_t cpu_usage_ns = 0;
  uint64_t cpu_periods = 0, cpu_throttled_periods = 0;
  // In thousandths of a core; 0: none.
  uint64_t cpu_limit_millicores = 0;
  uint64_t memory_working_set_bytes = 0, memory_limit_bytes = 0, memory_swap_bytes = 0;
  uint64_t oom_kills = 0;
  ReadWrite block;
  uint64_t pids = 0, pids_limit = 0;
  std::optional<PressureTotals> cpu_pressure, memory_pressure, io_pressure;
};

struct ContainerCounters {
  CgroupCounters cgroup;
  // Seen from inside the container.
  InterfaceBytes network;
};

struct HostCounters {
  // All cores together first.
  std::vector<CpuTicks> cpu;
  std::array<double, 3> load = {};
  uint64_t memory_total_bytes = 0, memory_available_bytes = 0;
  uint64_t swap_total_bytes = 0, swap_free_bytes = 0;
  ReadWrite disk;
  InterfaceBytes network;
  std::optional<PressureTotals> cpu_pressure, memory_pressure, io_pressure;
  absl::Duration uptime;
  int processes = 0;
  uint64_t data_disk_total_bytes = 0, data_disk_free_bytes = 0;
};

}  // namespace darse::metrics
