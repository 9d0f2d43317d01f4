#include "libs/container/config/resources_parse.h"

#include "absl/strings/match.h"

namespace darse::container {
namespace {

cgroup::DeviceRule ReadDeviceRule(const JsonFields& fields) {
  cgroup::DeviceRule rule;
  fields.Bool("allow", rule.allow);
  std::string type = fields.Text("type");
  if (type == "u") type = "c";
  if (!type.empty() && type != "a" && type != "b" && type != "c")
    fields.Fail("type", "not a, b, c or u");
  rule.type = type.empty() ? 'a' : type[0];
  fields.Number("major", rule.major);
  fields.Number("minor", rule.minor);
  std::string access = fields.Text("access");
  if (access.empty()) access = "rwm";
  if (access.find_first_not_of("rwm") != std::string::npos)
    fields.Fail("access", "not of r, w and m");
  rule.read = absl::StrContains(access, 'r');
  rule.write = absl::StrContains(access, 'w');
  rule.make_node = absl::StrContains(access, 'm');
  return rule;
}

void ReadThrottles(const JsonFields& block, const char* key, const char* kind,
                   std::vector<cgroup::BlockThrottle>& into) {
  block.Objects(key, [&](const JsonFields& fields) {
    cgroup::BlockThrottle throttle = {.kind = kind};
    fields.Number("major", throttle.major);
    fields.Number("minor", throttle.minor);
    fields.Number("rate", throttle.rate);
    into.push_back(throttle);
  });
}

void ReadRdma(const JsonFields& fields, cgroup::Limits& limits) {
  for (const std::string& device : fields.Keys()) {
    JsonFields entry = fields.Object(device.c_str());
    cgroup::RdmaLimit limit;
    entry.Number("hcaHandles", limit.handles);
    entry.Number("hcaObjects", limit.objects);
    limits.rdma[device] = limit;
  }
}

}  // namespace

cgroup::Limits ReadResources(const JsonFields& fields) {
  cgroup::Limits limits;
  JsonFields memory = fields.Object("memory");
  memory.Number("limit", limits.memory_bytes);
  memory.Number("swap", limits.memory_and_swap_bytes);
  memory.Number("reservation", limits.memory_reservation_bytes);
  memory.Number("swappiness", limits.memory_swappiness);
  if (memory.Has("disableOOMKiller")) {
    bool disable = false;
    memory.Bool("disableOOMKiller", disable);
    limits.oom_kill_disable = disable;
  }
  memory.Bool("checkBeforeUpdate", limits.memory_check_before_update);
  if (memory.NumberOr<int64_t>("kernelTCP", 0) > 0) memory.Unsupported("kernelTCP");
  JsonFields cpu = fields.Object("cpu");
  cpu.Number("shares", limits.cpu_shares);
  cpu.Number("quota", limits.cpu_quota_us);
  cpu.Number("period", limits.cpu_period_us);
  cpu.Number("burst", limits.cpu_burst_us);
  cpu.Number("idle", limits.cpu_idle);
  cpu.Number("realtimeRuntime", limits.cpu_rt_runtime_us);
  cpu.Number("realtimePeriod", limits.cpu_rt_period_us);
  // Docker writes zeros for "not set".
  if (limits.cpu_rt_runtime_us == 0) limits.cpu_rt_runtime_us.reset();
  if (limits.cpu_rt_period_us == 0u) limits.cpu_rt_period_us.reset();
  cpu.Text("cpus", limits.cpuset_cpus);
  cpu.Text("mems", limits.cpuset_mems);
  JsonFields pids = fields.Object("pids");
  pids.Number("limit", limits.pids_max);
  JsonFields block = fields.Object("blockIO");
  block.Number("weight", limits.block_weight);
  block.Number("leafWeight", limits.block_leaf_weight);
  block.Objects("weightDevice", [&](const JsonFields& entry) {
    cgroup::BlockWeight weight;
    entry.Number("major", weight.major);
    entry.Number("minor", weight.minor);
    entry.Number("weight", weight.weight);
    entry.Number("leafWeight", weight.leaf_weight);
    limits.block_weights.push_back(weight);
  });
  ReadThrottles(block, "throttleReadBpsDevice", "rbps", limits.block_throttles);
  ReadThrottles(block, "throttleWriteBpsDevice", "wbps", limits.block_throttles);
  ReadThrottles(block, "throttleReadIOPSDevice", "riops", limits.block_throttles);
  ReadThrottles(block, "throttleWriteIOPSDevice", "wiops", limits.block_throttles);
  fields.Objects("hugepageLimits", [&](const JsonFields& limit) {
    uint64_t bytes = 0;
    limit.Number("limit", bytes);
    limits.hugepage_bytes[limit.Text("pageSize")] = bytes;
  });
  JsonFields network = fields.Object("network");
  network.Number("classID", limits.network_class);
  if (limits.network_class == 0u) limits.network_class.reset();
  network.Objects("priorities", [&](const JsonFields& priority) {
    limits.network_priorities[priority.Text("name")] = priority.NumberOr<uint32_t>("priority", 0);
  });
  ReadRdma(fields.Object("rdma"), limits);
  fields.StringMap("unified", limits.unified);
  if (fields.Has("devices")) {
    limits.devices.emplace();
    fields.Objects("devices", [&](const JsonFields& rule) {
      limits.devices->push_back(ReadDeviceRule(rule));
    });
  }
  return limits;
}

}  // namespace darse::container
