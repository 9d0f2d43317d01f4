#include "services/metrics/samples/metric.h"

namespace darse::metrics {
namespace {

constexpr double kPercent = 0.01;
// A page or so; curves of memory and disks need no more.
constexpr double kBytes = 4096;
constexpr double kRate = 16;
constexpr double kCount = 1;

constexpr Metric kCpu = {1, "cpu_percent", kPercent};
constexpr Metric kThrottled = {2, "cpu_throttled_percent", kPercent};
constexpr Metric kWorkingSet = {3, "memory_working_set_bytes", kBytes};
constexpr Metric kSwap = {4, "memory_swap_bytes", kBytes};
constexpr Metric kOomKills = {5, "oom_kills", kCount};
constexpr Metric kBlockRead = {6, "block_read_bytes_per_second", kRate};
constexpr Metric kBlockWrite = {7, "block_write_bytes_per_second", kRate};
constexpr Metric kReceive = {8, "network_receive_bytes_per_second", kRate};
constexpr Metric kTransmit = {9, "network_transmit_bytes_per_second", kRate};
constexpr Metric kPids = {10, "pids", kCount};
constexpr Metric kCpuSome = {11, "cpu_pressure.some_avg10", kPercent};
constexpr Metric kCpuFull = {12, "cpu_pressure.full_avg10", kPercent};
constexpr Metric kMemorySome = {13, "memory_pressure.some_avg10", kPercent};
constexpr Metric kMemoryFull = {14, "memory_pressure.full_avg10", kPercent};
constexpr Metric kIoSome = {15, "io_pressure.some_avg10", kPercent};
constexpr Metric kIoFull = {16, "io_pressure.full_avg10", kPercent};
constexpr Metric kMemoryLimit = {17, "memory_limit_bytes", kBytes};
constexpr Metric kCpuLimit = {18, "cpu_limit_percent", kPercent};
constexpr Metric kLoad1 = {19, "load1", kPercent};
constexpr Metric kLoad5 = {20, "load5", kPercent};
constexpr Metric kLoad15 = {21, "load15", kPercent};
constexpr Metric kMemoryAvailable = {22, "memory_available_bytes", kBytes};
constexpr Metric kSwapFree = {23, "swap_free_bytes", kBytes};
constexpr Metric kDiskRead = {24, "disk_read_bytes_per_second", kRate};
constexpr Metric kDiskWrite = {25, "disk_write_bytes_per_second", kRate};
constexpr Metric kProcesses = {26, "processes", kCount};
constexpr Metric kDataDiskFree = {27, "data_disk_free_bytes", kBytes};

constexpr const Metric* kAll[] = {
    &kCpu,       &kThrottled,       &kWorkingSet, &kSwap,       &kOomKills,
    &kBlockRead, &kBlockWrite,      &kReceive,    &kTransmit,   &kPids,
    &kCpuSome,   &kCpuFull,         &kMemorySome, &kMemoryFull, &kIoSome,
    &kIoFull,    &kMemoryLimit,     &kCpuLimit,   &kLoad1,      &kLoad5,
    &kLoad15,    &kMemoryAvailable, &kSwapFree,   &kDiskRead,   &kDiskWrite,
    &kProcesses, &kDataDiskFree};

void AddPressure(MetricValues& values, bool has, const v1::Pressure& pressure, const Metric& some,
                 const Metric& full) {
  if (!has) return;
  values.emplace_back(&some, pressure.some_avg10());
  values.emplace_back(&full, pressure.full_avg10());
}

}  // namespace

const Metric* FindMetric(absl::string_view name) {
  for (const Metric* metric : kAll) {
    if (metric->name == name) return metric;
  }
  return nullptr;
}

const Metric* FindMetric(int number) {
  for (const Metric* metric : kAll) {
    if (metric->number == number) return metric;
  }
  return nullptr;
}

MetricValues ValuesOf(const v1::ContainerSample& sample) {
  MetricValues values = {
      {&kCpu, sample.cpu_percent()},
      {&kCpuLimit, sample.cpu_limit_percent()},
      {&kThrottled, sample.cpu_throttled_percent()},
      {&kWorkingSet, static_cast<double>(sample.memory_working_set_bytes())},
      {&kMemoryLimit, static_cast<double>(sample.memory_limit_bytes())},
      {&kSwap, static_cast<double>(sample.memory_swap_bytes())},
      {&kOomKills, static_cast<double>(sample.oom_kills())},
      {&kBlockRead, sample.block_read_bytes_per_second()},
      {&kBlockWrite, sample.block_write_bytes_per_second()},
      {&kReceive, sample.network_receive_bytes_per_second()},
      {&kTransmit, sample.network_transmit_bytes_per_second()},
      {&kPids, static_cast<double>(sample.pids())},
  };
  AddPressure(values, sample.has_cpu_pressure(), sample.cpu_pressure(), kCpuSome, kCpuFull);
  AddPressure(values, sample.has_memory_pressure(), sample.memory_pressure(), kMemorySome,
              kMemoryFull);
  AddPressure(values, sample.has_io_pressure(), sample.io_pressure(), kIoSome, kIoFull);
  return values;
}

MetricValues ValuesOf(const v1::HostSample& sample) {
  MetricValues values = {
      {&kCpu, sample.cpu_percent()},
      {&kLoad1, sample.load1()},
      {&kLoad5, sample.load5()},
      {&kLoad15, sample.load15()},
      {&kMemoryAvailable, static_cast<double>(sample.memory_available_bytes())},
      {&kSwapFree, static_cast<double>(sample.swap_free_bytes())},
      {&kDiskRead, sample.disk_read_bytes_per_second()},
      {&kDiskWrite, sample.disk_write_bytes_per_second()},
      {&kReceive, sample.network_receive_bytes_per_second()},
      {&kTransmit, sample.network_transmit_bytes_per_second()},
      {&kProcesses, static_cast<double>(sample.processes())},
      {&kDataDiskFree, static_cast<double>(sample.data_disk_free_bytes())},
  };
  AddPressure(values, sample.has_cpu_pressure(), sample.cpu_pressure(), kCpuSome, kCpuFull);
  AddPressure(values, sample.has_memory_pressure(), sample.memory_pressure(), kMemorySome,
              kMemoryFull);
  AddPressure(values, sample.has_io_pressure(), sample.io_pressure(), kIoSome, kIoFull);
  return values;
}

}  // namespace darse::metrics
