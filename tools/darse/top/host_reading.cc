#include "tools/darse/top/host_reading.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include <fstream>
#include <sstream>
#include <string>

namespace darse::client {
namespace {

// Kilobytes behind "name:" in /proc/meminfo.
int64_t MemoryField(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t value = 0;
  std::string unit;
  while (file >> key >> value) {
    std::getline(file, unit);
    if (key == name + ":") return value * 1024;
  }
  return 0;
}

}  // namespace

HostCounters ReadHostCounters() {
  HostCounters counters;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  counters.seconds = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  std::ifstream stat("/proc/stat");
  std::string word;
  stat >> word;
  // user nice system idle iowait irq softirq steal
  for (int i = 0; i < 8; ++i) {
    int64_t ticks = 0;
    stat >> ticks;
    counters.cpu_total += ticks;
    if (i != 3 && i != 4) counters.cpu_busy += ticks;
  }
  std::ifstream net("/proc/net/dev");
  std::string line;
  while (std::getline(net, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name =
        line.substr(line.find_first_not_of(' '), colon - line.find_first_not_of(' '));
    // What containers say to each other is no traffic of the host.
    if (name == "lo" || name.rfind("veth", 0) == 0) continue;
    std::istringstream fields(line.substr(colon + 1));
    int64_t value = 0;
    for (int i = 0; i < 9 && fields >> value; ++i) {
      if (i == 0) counters.network_receive_bytes += value;
      if (i == 8) counters.network_transmit_bytes += value;
    }
  }
  return counters;
}

darse::metrics::v1::HostSample HostBetween(const HostCounters& before, const HostCounters& after) {
  darse::metrics::v1::HostSample host;
  const double seconds = after.seconds - before.seconds;
  const double total = static_cast<double>(after.cpu_total - before.cpu_total);
  if (total > 0)
    host.set_cpu_percent(100 * static_cast<double>(after.cpu_busy - before.cpu_busy) / total);
  if (seconds > 0) {
    host.set_network_receive_bytes_per_second(
        static_cast<double>(after.network_receive_bytes - before.network_receive_bytes) / seconds);
    host.set_network_transmit_bytes_per_second(
        static_cast<double>(after.network_transmit_bytes - before.network_transmit_bytes) /
        seconds);
  }
  double load[3] = {0, 0, 0};
  if (getloadavg(load, 3) == 3) {
    host.set_load1(load[0]);
    host.set_load5(load[1]);
    host.set_load15(load[2]);
  }
  host.set_memory_total_bytes(MemoryField("MemTotal"));
  host.set_memory_available_bytes(MemoryField("MemAvailable"));
  host.set_swap_total_bytes(MemoryField("SwapTotal"));
  host.set_swap_free_bytes(MemoryField("SwapFree"));
  struct sysinfo info;
  if (sysinfo(&info) == 0) {
    host.mutable_uptime()->set_seconds(info.uptime);
    host.set_processes(info.procs);
  }
  return host;
}

}  // namespace darse::client
