#include "services/metrics/exposition/prometheus.h"

#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace darse::metrics {
namespace {

struct Labels {
  std::string text;
  void Add(absl::string_view name, absl::string_view value) {
    absl::StrAppend(&text, text.empty() ? "" : ",", name, "=\"",
                    absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}),
                    "\"");
  }
};

std::string FormatNumber(double value) {
  if (value == std::floor(value) && std::abs(value) < 9e15) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  return absl::StrFormat("%.10g", value);
}

void PutHead(std::string& text, absl::string_view name, absl::string_view type,
             absl::string_view help) {
  absl::StrAppend(&text, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

void PutValue(std::string& text, absl::string_view name, const std::string& labels, double value) {
  absl::StrAppend(&text, name, labels.empty() ? "" : "{", labels, labels.empty() ? "" : "}", " ",
                  FormatNumber(value), "\n");
}

struct ContainerFamily {
  absl::string_view name, type, help;
  std::optional<double> (*value)(const v1::ContainerSample& sample,
                                 const ContainerCounters& counters);
};

using Sample = v1::ContainerSample;
using Counters = ContainerCounters;
using Value = std::optional<double>;

double ToDouble(uint64_t number) { return static_cast<double>(number); }

Value SomeOf(bool has, const v1::Pressure& pressure) {
  return has ? Value(pressure.some_avg10() / 100) : std::nullopt;
}

constexpr ContainerFamily kContainerFamilies[] = {
    {"darse_container_cpu_seconds_total", "counter", "CPU time used since the cgroup was made.",
     [](const Sample&, const Counters& c) { return Value(ToDouble(c.cgroup.cpu_usage_ns) / 1e9); }},
    {"darse_container_cpu_limit_cores", "gauge", "CPU limit; 0: none.",
     [](const Sample& s, const Counters&) { return Value(s.cpu_limit_percent() / 100); }},
    {"darse_container_cpu_periods_total", "counter", "Periods in which the CPU limit was watched.",
     [](const Sample&, const Counters& c) { return Value(ToDouble(c.cgroup.cpu_periods)); }},
    {"darse_container_cpu_throttled_periods_total", "counter",
     "Periods in which the container was throttled.",
     [](const Sample&, const Counters& c) {
       return Value(ToDouble(c.cgroup.cpu_throttled_periods));
     }},
    {"darse_container_memory_working_set_bytes", "gauge", "Memory without inactive file pages.",
     [](const Sample& s, const Counters&) { return Value(s.memory_working_set_bytes()); }},
    {"darse_container_memory_limit_bytes", "gauge", "Memory limit; 0: none.",
     [](const Sample& s, const Counters&) { return Value(s.memory_limit_bytes()); }},
    {"darse_container_memory_swap_bytes", "gauge", "Swap used.",
     [](const Sample& s, const Counters&) { return Value(s.memory_swap_bytes()); }},
    {"darse_container_oom_kills_total", "counter", "Processes killed for want of memory.",
     [](const Sample& s, const Counters&) { return Value(s.oom_kills()); }},
    {"darse_container_block_read_bytes_total", "counter", "Read from block devices.",
     [](const Sample& s, const Counters&) { return Value(s.block_read_bytes()); }},
    {"darse_container_block_write_bytes_total", "counter", "Written to block devices.",
     [](const Sample& s, const Counters&) { return Value(s.block_write_bytes()); }},
    {"darse_container_network_receive_bytes_total", "counter", "Received by the container.",
     [](const Sample& s, const Counters&) { return Value(s.network_receive_bytes()); }},
    {"darse_container_network_transmit_bytes_total", "counter", "Sent by the container.",
     [](const Sample& s, const Counters&) { return Value(s.network_transmit_bytes()); }},
    {"darse_container_pids", "gauge", "Tasks in the container.",
     [](const Sample& s, const Counters&) { return Value(s.pids()); }},
    {"darse_container_pids_limit", "gauge", "Limit of tasks; 0: none.",
     [](const Sample& s, const Counters&) { return Value(s.pids_limit()); }},
    {"darse_container_restarts_total", "counter", "Restarts by the restart policy since the start.",
     [](const Sample& s, const Counters&) { return Value(s.restart_count()); }},
    {"darse_container_start_time_seconds", "gauge", "Start, in seconds since the epoch.",
     [](const Sample& s, const Counters&) {
       return s.has_start_time() ? Value(s.start_time().seconds()) : std::nullopt;
     }},
    {"darse_container_cpu_pressure_ratio", "gauge",
     "Share of the last 10 s in which a task waited for CPU.",
     [](const Sample& s, const Counters&) {
       return SomeOf(s.has_cpu_pressure(), s.cpu_pressure());
     }},
    {"darse_container_memory_pressure_ratio", "gauge",
     "Share of the last 10 s in which a task waited for memory.",
     [](const Sample& s, const Counters&) {
       return SomeOf(s.has_memory_pressure(), s.memory_pressure());
     }},
    {"darse_container_io_pressure_ratio", "gauge",
     "Share of the last 10 s in which a task waited for I/O.",
     [](const Sample& s, const Counters&) { return SomeOf(s.has_io_pressure(), s.io_pressure()); }},
};

struct HostFamily {
  absl::string_view name, type, help;
  std::optional<double> (*value)(const v1::HostSample& sample, const HostCounters& counters);
};

using Host = v1::HostSample;

constexpr HostFamily kHostFamilies[] = {
    {"darse_host_cpu_usage_ratio", "gauge", "Busy share of all cores over the last second.",
     [](const Host& h, const HostCounters&) { return Value(h.cpu_percent() / 100); }},
    {"darse_host_load1", "gauge", "Load average over a minute.",
     [](const Host& h, const HostCounters&) { return Value(h.load1()); }},
    {"darse_host_load5", "gauge", "Load average over 5 minutes.",
     [](const Host& h, const HostCounters&) { return Value(h.load5()); }},
    {"darse_host_load15", "gauge", "Load average over 15 minutes.",
     [](const Host& h, const HostCounters&) { return Value(h.load15()); }},
    {"darse_host_memory_total_bytes", "gauge", "Memory.",
     [](const Host& h, const HostCounters&) { return Value(h.memory_total_bytes()); }},
    {"darse_host_memory_available_bytes", "gauge", "Memory that can be had without swapping.",
     [](const Host& h, const HostCounters&) { return Value(h.memory_available_bytes()); }},
    {"darse_host_swap_total_bytes", "gauge", "Swap space.",
     [](const Host& h, const HostCounters&) { return Value(h.swap_total_bytes()); }},
    {"darse_host_swap_free_bytes", "gauge", "Swap space that is free.",
     [](const Host& h, const HostCounters&) { return Value(h.swap_free_bytes()); }},
    {"darse_host_disk_read_bytes_total", "counter", "Read from all disks.",
     [](const Host&, const HostCounters& c) { return Value(ToDouble(c.disk.read)); }},
    {"darse_host_disk_write_bytes_total", "counter", "Written to all disks.",
     [](const Host&, const HostCounters& c) { return Value(ToDouble(c.disk.written)); }},
    {"darse_host_network_receive_bytes_total", "counter", "Received over physical interfaces.",
     [](const Host&, const HostCounters& c) { return Value(ToDouble(c.network.received)); }},
    {"darse_host_network_transmit_bytes_total", "counter", "Sent over physical interfaces.",
     [](const Host&, const HostCounters& c) { return Value(ToDouble(c.network.transmitted)); }},
    {"darse_host_processes", "gauge", "Processes.",
     [](const Host& h, const HostCounters&) { return Value(h.processes()); }},
    {"darse_host_data_disk_total_bytes", "gauge", "Size of the disk with Darse's data.",
     [](const Host& h, const HostCounters&) { return Value(h.data_disk_total_bytes()); }},
    {"darse_host_data_disk_free_bytes", "gauge", "Room on the disk with Darse's data.",
     [](const Host& h, const HostCounters&) { return Value(h.data_disk_free_bytes()); }},
    {"darse_host_cpu_pressure_ratio", "gauge",
     "Share of the last 10 s in which a task waited for CPU.",
     [](const Host& h, const HostCounters&) {
       return SomeOf(h.has_cpu_pressure(), h.cpu_pressure());
     }},
    {"darse_host_memory_pressure_ratio", "gauge",
     "Share of the last 10 s in which a task waited for memory.",
     [](const Host& h, const HostCounters&) {
       return SomeOf(h.has_memory_pressure(), h.memory_pressure());
     }},
    {"darse_host_io_pressure_ratio", "gauge",
     "Share of the last 10 s in which a task waited for I/O.",
     [](const Host& h, const HostCounters&) {
       return SomeOf(h.has_io_pressure(), h.io_pressure());
     }},
};

std::string LabelsOf(const v1::ContainerSample& sample) {
  Labels labels;
  labels.Add("name", sample.name());
  labels.Add("image", sample.image());
  labels.Add("stack", sample.stack());
  labels.Add("service", sample.service());
  labels.Add("id", sample.container_id().substr(0, 12));
  return labels.text;
}

}  // namespace

std::string FormatPrometheus(const SampledFrame& frame) {
  std::string text;
  for (const HostFamily& family : kHostFamilies) {
    Value value = family.value(frame.frame.host(), frame.reading.host);
    if (!value) continue;
    PutHead(text, family.name, family.type, family.help);
    PutValue(text, family.name, "", *value);
  }
  std::vector<std::string> labels;
  for (const v1::ContainerSample& sample : frame.frame.containers()) {
    labels.push_back(LabelsOf(sample));
  }
  for (const ContainerFamily& family : kContainerFamilies) {
    bool headed = false;
    for (int i = 0; i < frame.frame.containers_size(); ++i) {
      Value value = family.value(frame.frame.containers(i), frame.reading.containers[i].counters);
      if (!value) continue;
      if (!headed) PutHead(text, family.name, family.type, family.help);
      headed = true;
      PutValue(text, family.name, labels[i], *value);
    }
  }
  PutHead(text, "darse_runtime_up", "gauge", "Whether the runtime answers.");
  PutValue(text, "darse_runtime_up", "", frame.frame.has_runtime_missing_since() ? 0 : 1);
  return text;
}

}  // namespace darse::metrics
