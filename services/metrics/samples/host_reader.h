// Reads the host's counters from /proc through descriptors that stay open.
#pragma once

#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "services/metrics/samples/counters.h"
#include "services/metrics/samples/kernel_file.h"

namespace darse::metrics {

// One thread only.
class HostReader {
 public:
  // `proc` and `sys` are "/proc" and "/sys" but in tests; `data_root` is on the disk that is
  // watched.
  HostReader(std::string proc, std::string sys, std::string data_root);

  // A file that cannot be read leaves its numbers 0.
  HostCounters Read();
  // Of the host's network namespace, as of the last Read: a veth's host end among them.
  const std::map<std::string, InterfaceBytes>& interfaces() const { return interfaces_; }
  // All interfaces but lo in the network namespace of a process; zero if it has gone. Opened anew
  // each time, since an open file here would keep the namespace alive.
  InterfaceBytes NetworkOfProcess(int64_t pid) const;

 private:
  bool IsWholeDisk(absl::string_view device);
  bool IsUplink(const std::string& interface);
  int CountProcesses() const;

  const std::string proc_, sys_, data_root_;
  KernelFile stat_, load_, memory_, disks_, network_, uptime_;
  KernelFile cpu_pressure_, memory_pressure_, io_pressure_;
  std::map<std::string, InterfaceBytes> interfaces_;
  // Devices come rarely; asking /sys costs more than the sample.
  absl::flat_hash_map<std::string, bool> whole_disks_, uplinks_;
  int reads_ = 0;
  int processes_ = 0;
};

}  // namespace darse::metrics
