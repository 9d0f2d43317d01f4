#include "libs/linux/cgroup/cgroup_v2_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <time.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/monotonic.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/cgroup/cgroup_files.h"
#include "libs/linux/cgroup/device_filter.h"
#include "libs/linux/cgroup/limit_rules.h"

namespace darse::cgroup {
namespace {

absl::Status NoCgroup(const std::string& path) {
  return absl::NotFoundError(absl::StrCat("cgroup ", path, ": does not exist"));
}

std::string Max(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

// Hands every controller that `parent` has on to its children.
absl::Status Delegate(const std::string& parent) {
  ASSIGN_OR_RETURN(std::string controllers, ReadFile(parent + "/cgroup.controllers"));
  ASSIGN_OR_RETURN(std::string enabled, ReadFile(parent + "/cgroup.subtree_control"));
  std::vector<absl::string_view> on =
      absl::StrSplit(enabled, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  for (absl::string_view name :
       absl::StrSplit(controllers, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (std::find(on.begin(), on.end(), name) != on.end()) continue;
    // One by one: a controller that a realtime task or a v1 user holds back must not keep the
    // others.
    WriteFile(parent + "/cgroup.subtree_control", absl::StrCat("+", name)).IgnoreError();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<V2Setting>> PlanV2(const Limits& limits) {
  std::vector<V2Setting> plan;
  if (limits.memory_swappiness.has_value() || limits.oom_kill_disable.value_or(false)) {
    return absl::InvalidArgumentError(
        "memory swappiness and disableOOMKiller exist only on cgroup v1");
  }
  if (limits.cpu_rt_runtime_us.has_value() || limits.cpu_rt_period_us.has_value()) {
    return absl::InvalidArgumentError("cpu realtime limits exist only on cgroup v1");
  }
  if (limits.network_class.has_value() || !limits.network_priorities.empty()) {
    return absl::InvalidArgumentError("network classID and priorities exist only on cgroup v1");
  }
  bool leaf = limits.block_leaf_weight.value_or(0) != 0;
  for (const BlockWeight& weight : limits.block_weights)
    leaf |= weight.leaf_weight.value_or(0) != 0;
  if (leaf) return absl::InvalidArgumentError("blockIO leaf weights exist only on cgroup v1");
  int64_t memory = limits.memory_bytes.value_or(0);
  int64_t both = limits.memory_and_swap_bytes.value_or(0);
  if (both > 0 && memory > 0 && both < memory) {
    return absl::InvalidArgumentError("memory.swap: below memory.limit, which it includes");
  }
  if (both < 0 || (both > 0 && memory > 0)) {
    plan.push_back({"memory.swap.max", both < 0 ? "max" : absl::StrCat(both - memory)});
  }
  if (memory != 0) plan.push_back({"memory.max", Max(memory)});
  if (limits.memory_reservation_bytes.value_or(0) != 0) {
    plan.push_back({"memory.low", Max(*limits.memory_reservation_bytes)});
  }
  if (limits.cpu_idle.has_value()) plan.push_back({"cpu.idle", absl::StrCat(*limits.cpu_idle)});
  if (uint64_t shares = limits.cpu_shares.value_or(0); shares != 0) {
    // 2..262144 onto 1..10000, as every other runtime does it.
    shares = std::min<uint64_t>(std::max<uint64_t>(shares, 2), 262144);
    plan.push_back({"cpu.weight", absl::StrCat(1 + (shares - 2) * 9999 / 262142)});
  }
  if (limits.cpu_quota_us.value_or(0) != 0 || limits.cpu_period_us.value_or(0) != 0) {
    int64_t quota = limits.cpu_quota_us.value_or(0);
    uint64_t period = limits.cpu_period_us.value_or(0);
    plan.push_back({"cpu.max", absl::StrCat(quota > 0 ? absl::StrCat(quota) : "max", " ",
                                            period == 0 ? 100'000 : period)});
  }
  if (limits.cpu_burst_us.has_value()) {
    plan.push_back({"cpu.max.burst", absl::StrCat(*limits.cpu_burst_us)});
  }
  if (!limits.cpuset_cpus.empty()) plan.push_back({"cpuset.cpus", limits.cpuset_cpus});
  if (!limits.cpuset_mems.empty()) plan.push_back({"cpuset.mems", limits.cpuset_mems});
  if (limits.pids_max.value_or(0) != 0) plan.push_back({"pids.max", Max(*limits.pids_max)});
  if (limits.block_weight.value_or(0) != 0) {
    // 10..1000 onto 1..10000.
    uint64_t weight = *limits.block_weight;
    plan.push_back({"io.weight", absl::StrCat(1 + (weight - 10) * 9999 / 990)});
  }
  for (const BlockWeight& weight : limits.block_weights) {
    if (weight.weight.value_or(0) == 0) continue;
    plan.push_back(
        {"io.bfq.weight", absl::StrCat(weight.major, ":", weight.minor, " ", *weight.weight)});
  }
  for (const BlockThrottle& throttle : limits.block_throttles) {
    static const std::map<std::string, std::string> kNames = {
        {"rbps", "rbps"}, {"wbps", "wbps"}, {"riops", "riops"}, {"wiops", "wiops"}};
    if (!kNames.contains(throttle.kind)) {
      return absl::InvalidArgumentError("throttle of an unknown kind");
    }
    plan.push_back(
        {"io.max", absl::StrCat(throttle.major, ":", throttle.minor, " ", throttle.kind, "=",
                                throttle.rate == 0 ? "max" : absl::StrCat(throttle.rate))});
  }
  for (const auto& [size, bytes] : limits.hugepage_bytes) {
    plan.push_back({absl::StrCat("hugetlb.", size, ".max"), absl::StrCat(bytes)});
  }
  for (const auto& [device, limit] : limits.rdma) {
    plan.push_back({"rdma.max", RdmaLine(device, limit)});
  }
  for (const auto& [file, value] : limits.unified) {
    if (file.empty() || absl::StrContains(file, '/')) {
      return absl::InvalidArgumentError(absl::StrCat("linux.resources.unified: \"", file, "\""));
    }
    plan.push_back({file, value});
  }
  return plan;
}

std::string CgroupV2Driver::File(const std::string& path, absl::string_view file) const {
  return absl::StrCat(mount_, "/", path, "/", file);
}

absl::Status CgroupV2Driver::Create(const std::string& path) {
  std::string parent = mount_;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    RETURN_IF_ERROR(Delegate(parent));
    RETURN_IF_ERROR(MakeDirectories(parent, std::string(part)));
    absl::StrAppend(&parent, "/", part);
  }
  return absl::OkStatus();
}

bool CgroupV2Driver::Exists(const std::string& path) {
  return FileExists(absl::StrCat(mount_, "/", path));
}

absl::StatusOr<std::vector<std::string>> CgroupV2Driver::Apply(const std::string& path,
                                                               const Limits& limits) {
  if (!Exists(path)) return NoCgroup(path);
  ASSIGN_OR_RETURN(std::vector<V2Setting> plan, PlanV2(limits));
  RETURN_IF_ERROR(CheckMemoryInUse(limits, ReadNumber(File(path, "memory.current"))));
  std::vector<std::string> warnings;
  // Of the two that know weights, BFQ has the spec's scale, and its own file once it is loaded.
  std::string bfq_weight = File(path, "io.bfq.weight");
  bool bfq = limits.block_weight.value_or(0) != 0 && FileExists(bfq_weight);
  if (bfq) RETURN_IF_ERROR(WriteFile(bfq_weight, absl::StrCat(*limits.block_weight)));
  for (const V2Setting& setting : plan) {
    std::string file = File(path, setting.file);
    if (!FileExists(file)) {
      if (bfq && setting.file == "io.weight") continue;
      if (limits.unified.contains(setting.file)) {
        return absl::InvalidArgumentError(
            absl::StrCat("linux.resources.unified: this host has no ", setting.file));
      }
      warnings.push_back(absl::StrCat("this host has no ", setting.file, ": it is not set"));
      continue;
    }
    RETURN_IF_ERROR(WriteFile(file, setting.value));
  }
  if (limits.devices.has_value()) {
    ASSIGN_OR_RETURN(UniqueFd directory, OpenDirectory(path));
    RETURN_IF_ERROR(InstallDeviceFilter(directory.get(), *limits.devices));
  }
  return warnings;
}

absl::Status CgroupV2Driver::Attach(const std::string& path, pid_t pid) {
  absl::Status wrote = WriteFile(File(path, "cgroup.procs"), absl::StrCat(pid));
  if (ErrnoOf(wrote) == ESRCH) {
    return absl::NotFoundError(absl::StrCat("attach ", pid, ": no such process"));
  }
  return wrote;
}

absl::StatusOr<std::vector<pid_t>> CgroupV2Driver::Processes(const std::string& path) {
  std::vector<pid_t> pids;
  RETURN_IF_ERROR(ListProcesses(absl::StrCat(mount_, "/", path), pids));
  return pids;
}

absl::Status CgroupV2Driver::SetFrozen(const std::string& path, bool frozen) {
  if (!Exists(path)) return NoCgroup(path);
  std::string events = File(path, "cgroup.events");
  UniqueFd watch(open(events.c_str(), O_RDONLY | O_CLOEXEC));
  if (!watch.valid()) return SyscallError(errno, absl::StrCat("open ", events));
  RETURN_IF_ERROR(WriteFile(File(path, "cgroup.freeze"), frozen ? "1" : "0"));
  constexpr int64_t kTimeoutMs = 2000;
  for (int64_t deadline = MonotonicMs() + kTimeoutMs; MonotonicMs() < deadline;) {
    // poll() tells of changes since this descriptor was read last.
    char drop[256];
    if (pread(watch.get(), drop, sizeof(drop), 0) < 0) return SyscallError(errno, events);
    if ((ReadKeyed(events)["frozen"] == 1) == frozen) return absl::OkStatus();
    pollfd wait = {.fd = watch.get(), .events = POLLPRI};
    poll(&wait, 1, 50);
  }
  if (frozen) WriteFile(File(path, "cgroup.freeze"), "0").IgnoreError();
  return absl::DeadlineExceededError(absl::StrCat("freezer of ", path, ": not in time"));
}

absl::Status CgroupV2Driver::Freeze(const std::string& path) { return SetFrozen(path, true); }
absl::Status CgroupV2Driver::Thaw(const std::string& path) { return SetFrozen(path, false); }

absl::StatusOr<bool> CgroupV2Driver::IsFrozen(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  return ReadNumber(File(path, "cgroup.freeze")) == 1;
}

absl::Status CgroupV2Driver::KillAll(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  std::string file = File(path, "cgroup.kill");
  if (FileExists(file)) return WriteFile(file, "1");
  // Before kernel 5.14. Frozen, nothing forks between the listing and the kill.
  absl::Status frozen = Freeze(path);
  ASSIGN_OR_RETURN(std::vector<pid_t> pids, Processes(path));
  for (pid_t pid : pids) kill(pid, SIGKILL);
  if (frozen.ok()) return Thaw(path);
  return absl::OkStatus();
}

absl::StatusOr<Stats> CgroupV2Driver::ReadStats(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  Stats stats;
  std::map<std::string, uint64_t> cpu = ReadKeyed(File(path, "cpu.stat"));
  stats.cpu_usage_ns = cpu["usage_usec"] * 1000;
  stats.cpu_user_ns = cpu["user_usec"] * 1000;
  stats.cpu_system_ns = cpu["system_usec"] * 1000;
  stats.cpu_periods = cpu["nr_periods"];
  stats.cpu_throttled_periods = cpu["nr_throttled"];
  stats.cpu_throttled_ns = cpu["throttled_usec"] * 1000;
  stats.memory = ReadKeyed(File(path, "memory.stat"));
  stats.memory_usage_bytes = ReadNumber(File(path, "memory.current"));
  stats.memory_peak_bytes = ReadNumber(File(path, "memory.peak"));
  stats.memory_limit_bytes = ReadNumber(File(path, "memory.max"));
  stats.memory_swap_bytes = ReadNumber(File(path, "memory.swap.current"));
  stats.memory_swap_limit_bytes = ReadNumber(File(path, "memory.swap.max"));
  stats.memory_inactive_file_bytes = stats.memory["inactive_file"];
  std::map<std::string, uint64_t> events = ReadKeyed(File(path, "memory.events"));
  stats.memory_failures = events["max"];
  stats.oom_kills = events["oom_kill"];
  stats.pids = ReadNumber(File(path, "pids.current"));
  stats.pids_limit = ReadNumber(File(path, "pids.max"));
  absl::StatusOr<std::string> io = ReadFile(File(path, "io.stat"));
  if (io.ok()) {
    for (absl::string_view word : absl::StrSplit(*io, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
      std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(word, absl::MaxSplits('=', 1));
      uint64_t value = 0;
      if (!absl::SimpleAtoi(pair.second, &value)) continue;
      if (pair.first == "rbytes") stats.block_read_bytes += value;
      if (pair.first == "wbytes") stats.block_write_bytes += value;
      if (pair.first == "rios") stats.block_read_operations += value;
      if (pair.first == "wios") stats.block_write_operations += value;
    }
  }
  stats.cpu_pressure = ReadPressure(File(path, "cpu.pressure"));
  stats.memory_pressure = ReadPressure(File(path, "memory.pressure"));
  stats.io_pressure = ReadPressure(File(path, "io.pressure"));
  return stats;
}

absl::StatusOr<uint64_t> CgroupV2Driver::ReadOomKills(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  return ReadKeyed(File(path, "memory.events"))["oom_kill"];
}

absl::StatusOr<UniqueFd> CgroupV2Driver::WatchOom(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  UniqueFd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.valid()) return SyscallError(errno, "inotify_init1");
  std::string file = File(path, "memory.events");
  if (inotify_add_watch(watch.get(), file.c_str(), IN_MODIFY) < 0) {
    return SyscallError(errno, absl::StrCat("watch ", file));
  }
  return watch;
}

absl::Status CgroupV2Driver::Delete(const std::string& path) {
  return RemoveTree(absl::StrCat(mount_, "/", path));
}

absl::StatusOr<UniqueFd> CgroupV2Driver::OpenDirectory(const std::string& path) {
  std::string directory = absl::StrCat(mount_, "/", path);
  // bpf(BPF_PROG_ATTACH) and CLONE_INTO_CGROUP want a readable one, not O_PATH.
  UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return SyscallError(errno, absl::StrCat("open ", directory));

  return fd;
}

}  // namespace darse::cgroup
