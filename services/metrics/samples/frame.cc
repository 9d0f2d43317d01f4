#include "services/metrics/samples/frame.h"

#include <utility>

#include "absl/container/flat_hash_map.h"

namespace darse::metrics {
namespace {

double Rate(uint64_t before, uint64_t now, double seconds) {
  if (now < before || seconds <= 0) return 0;
  return static_cast<double>(now - before) / seconds;
}

double Percent(uint64_t part_before, uint64_t part, uint64_t whole_before, uint64_t whole) {
  if (part < part_before || whole <= whole_before) return 0;
  return 100.0 * static_cast<double>(part - part_before) /
         static_cast<double>(whole - whole_before);
}

void Set(google::protobuf::Timestamp& proto, absl::Time time) {
  absl::Duration since = time - absl::UnixEpoch();
  proto.set_seconds(absl::ToInt64Seconds(absl::Floor(since, absl::Seconds(1))));
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(since - absl::Floor(since, absl::Seconds(1)))));
}

v1::Pressure ToProto(const PressureTotals& pressure) {
  v1::Pressure proto;
  proto.set_some_avg10(pressure.some_avg10);
  proto.set_full_avg10(pressure.full_avg10);
  return proto;
}

// Sets cpu_, memory_ and io_pressure of either kind of sample.
template <typename Counters, typename Sample>
void SetPressures(const Counters& counters, Sample& sample) {
  if (counters.cpu_pressure) *sample.mutable_cpu_pressure() = ToProto(*counters.cpu_pressure);
  if (counters.memory_pressure) {
    *sample.mutable_memory_pressure() = ToProto(*counters.memory_pressure);
  }
  if (counters.io_pressure) *sample.mutable_io_pressure() = ToProto(*counters.io_pressure);
}

void FillHost(const HostCounters* before, const HostCounters& now, double seconds,
              v1::HostSample& host) {
  for (size_t i = 0; i < now.cpu.size(); ++i) {
    double percent = 0;
    if (before != nullptr && i < before->cpu.size()) {
      percent =
          Percent(before->cpu[i].busy, now.cpu[i].busy, before->cpu[i].total, now.cpu[i].total);
    }
    if (i == 0) {
      host.set_cpu_percent(percent);
    } else {
      host.add_core_percent(percent);
    }
  }
  host.set_load1(now.load[0]);
  host.set_load5(now.load[1]);
  host.set_load15(now.load[2]);
  host.set_memory_total_bytes(now.memory_total_bytes);
  host.set_memory_available_bytes(now.memory_available_bytes);
  host.set_swap_total_bytes(now.swap_total_bytes);
  host.set_swap_free_bytes(now.swap_free_bytes);
  if (before != nullptr) {
    host.set_disk_read_bytes_per_second(Rate(before->disk.read, now.disk.read, seconds));
    host.set_disk_write_bytes_per_second(Rate(before->disk.written, now.disk.written, seconds));
    host.set_network_receive_bytes_per_second(
        Rate(before->network.received, now.network.received, seconds));
    host.set_network_transmit_bytes_per_second(
        Rate(before->network.transmitted, now.network.transmitted, seconds));
  }
  SetPressures(now, host);
  host.mutable_uptime()->set_seconds(absl::ToInt64Seconds(now.uptime));
  host.set_processes(now.processes);
  host.set_data_disk_total_bytes(now.data_disk_total_bytes);
  host.set_data_disk_free_bytes(now.data_disk_free_bytes);
}

void FillRates(const ContainerCounters& before, const ContainerCounters& now, double seconds,
               v1::ContainerSample& sample) {
  const CgroupCounters &old = before.cgroup, &cgroup = now.cgroup;
  sample.set_cpu_percent(Rate(old.cpu_usage_ns, cgroup.cpu_usage_ns, seconds) / 1e9 * 100);
  sample.set_cpu_throttled_percent(Percent(old.cpu_throttled_periods, cgroup.cpu_throttled_periods,
                                           old.cpu_periods, cgroup.cpu_periods));
  sample.set_block_read_bytes_per_second(Rate(old.block.read, cgroup.block.read, seconds));
  sample.set_block_write_bytes_per_second(Rate(old.block.written, cgroup.block.written, seconds));
  sample.set_network_receive_bytes_per_second(
      Rate(before.network.received, now.network.received, seconds));
  sample.set_network_transmit_bytes_per_second(
      Rate(before.network.transmitted, now.network.transmitted, seconds));
}

void FillContainer(const ContainerReading& reading, v1::ContainerSample& sample) {
  const KnownContainer& container = reading.container;
  const CgroupCounters& cgroup = reading.counters.cgroup;
  sample.set_container_id(container.id);
  sample.set_name(container.name);
  sample.set_image(container.image);
  sample.set_stack(container.stack);
  sample.set_service(container.service);
  sample.set_state(container.state);
  sample.set_health(container.health);
  if (container.start_time > absl::UnixEpoch()) {
    Set(*sample.mutable_start_time(), container.start_time);
  }
  sample.set_restart_count(container.restart_count);
  sample.set_cpu_limit_percent(static_cast<double>(cgroup.cpu_limit_millicores) / 10);
  sample.set_memory_working_set_bytes(cgroup.memory_working_set_bytes);
  sample.set_memory_limit_bytes(cgroup.memory_limit_bytes);
  sample.set_memory_swap_bytes(cgroup.memory_swap_bytes);
  sample.set_oom_kills(cgroup.oom_kills);
  sample.set_pids(cgroup.pids);
  sample.set_pids_limit(cgroup.pids_limit);
  sample.set_network_receive_bytes(reading.counters.network.received);
  sample.set_network_transmit_bytes(reading.counters.network.transmitted);
  sample.set_block_read_bytes(cgroup.block.read);
  sample.set_block_write_bytes(cgroup.block.written);
  SetPressures(cgroup, sample);
}

}  // namespace

SampledFrame MakeFrame(const Reading& before, Reading now) {
  SampledFrame sampled;
  double seconds = absl::ToDoubleSeconds(now.monotonic - before.monotonic);
  Set(*sampled.frame.mutable_time(), now.time);
  sampled.host_has_rates = !before.host.cpu.empty();
  FillHost(sampled.host_has_rates ? &before.host : nullptr, now.host, seconds,
           *sampled.frame.mutable_host());

  absl::flat_hash_map<absl::string_view, const ContainerCounters*> old;
  for (const ContainerReading& reading : before.containers) {
    old[reading.container.id] = &reading.counters;
  }
  for (const ContainerReading& reading : now.containers) {
    v1::ContainerSample& sample = *sampled.frame.add_containers();
    FillContainer(reading, sample);
    auto found = old.find(reading.container.id);
    sampled.has_rates.push_back(found != old.end());
    if (found != old.end()) FillRates(*found->second, reading.counters, seconds, sample);
  }
  sampled.reading = std::move(now);
  return sampled;
}

void SetRuntimeMissing(SampledFrame& frame, absl::Time since) {
  Set(*frame.frame.mutable_runtime_missing_since(), since);
}

}  // namespace darse::metrics
