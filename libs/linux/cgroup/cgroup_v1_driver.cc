#include "libs/linux/cgroup/cgroup_v1_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/cgroup/cgroup_files.h"
#include "libs/linux/cgroup/limit_rules.h"

namespace darse::cgroup {
namespace {

// The kernel's "no limit" is the largest multiple of a page.
uint64_t Limit(uint64_t value) { return value >= uint64_t{1} << 62 ? 0 : value; }

absl::Status NoCgroup(const std::string& path) {
  return absl::NotFoundError(absl::StrCat("cgroup ", path, ": does not exist"));
}

// What a missing controller means: a sentence for the user instead of silence.
std::string Lacks(absl::string_view controller, absl::string_view what) {
  return absl::StrCat("this host has no ", controller, " controller: ", what, " is not limited");
}

// Nanoseconds in one tick of USER_HZ, which is 100 on every Linux of ours.
constexpr uint64_t kTickNs = 10'000'000;

void AddBlock(const std::string& file, uint64_t& read, uint64_t& write) {
  absl::StatusOr<std::string> content = ReadFile(file);
  if (!content.ok()) return;
  for (absl::string_view line : absl::StrSplit(*content, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t value = 0;
    if (words.size() != 3 || !absl::SimpleAtoi(words[2], &value)) continue;
    if (words[1] == "Read") read += value;
    if (words[1] == "Write") write += value;
  }
}

std::string DeviceLine(const DeviceRule& rule) {
  auto number = [](int64_t n) { return n < 0 ? std::string("*") : absl::StrCat(n); };
  return absl::StrCat(std::string(1, rule.type), " ", number(rule.major), ":", number(rule.minor),
                      " ", rule.read ? "r" : "", rule.write ? "w" : "", rule.make_node ? "m" : "");
}

}  // namespace

CgroupV1Driver::CgroupV1Driver(Hierarchies hierarchies) : hierarchies_(std::move(hierarchies)) {
  for (const auto& [controller, mount] : hierarchies_.v1) {
    if (std::find(mounts_.begin(), mounts_.end(), mount) == mounts_.end()) mounts_.push_back(mount);
  }
  if (!hierarchies_.v2.empty()) mounts_.push_back(hierarchies_.v2);
}

std::string CgroupV1Driver::File(const std::string& controller, const std::string& path,
                                 absl::string_view file) const {
  auto mount = hierarchies_.v1.find(controller);
  // Without the controller: a path that no file has.
  if (mount == hierarchies_.v1.end()) return absl::StrCat("/proc/self/no-", controller, "/", file);
  return absl::StrCat(mount->second, "/", path, "/", file);
}

// A new cpuset is empty, and an empty one takes no process: copy from the parent, from the top
// down.
absl::Status CgroupV1Driver::FillCpuset(const std::string& path) const {
  auto mount = hierarchies_.v1.find("cpuset");
  if (mount == hierarchies_.v1.end()) return absl::OkStatus();
  std::string parent = mount->second;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    std::string child = absl::StrCat(parent, "/", part);
    for (absl::string_view file : {"/cpuset.cpus", "/cpuset.mems"}) {
      ASSIGN_OR_RETURN(std::string own, ReadFile(absl::StrCat(child, file)));
      if (!absl::StripAsciiWhitespace(own).empty()) continue;
      ASSIGN_OR_RETURN(std::string above, ReadFile(absl::StrCat(parent, file)));
      RETURN_IF_ERROR(WriteFile(absl::StrCat(child, file), absl::StripAsciiWhitespace(above)));
    }
    parent = std::move(child);
  }
  return absl::OkStatus();
}

absl::Status CgroupV1Driver::Create(const std::string& path) {
  for (const std::string& mount : mounts_) RETURN_IF_ERROR(MakeDirectories(mount, path));
  return FillCpuset(path);
}

bool CgroupV1Driver::Exists(const std::string& path) {
  return std::any_of(mounts_.begin(), mounts_.end(), [&](const std::string& mount) {
    return FileExists(absl::StrCat(mount, "/", path));
  });
}

absl::StatusOr<std::vector<std::string>> CgroupV1Driver::Apply(const std::string& path,
                                                               const Limits& limits) {
  if (!Exists(path)) return NoCgroup(path);
  if (!limits.unified.empty()) {
    return absl::InvalidArgumentError("linux.resources.unified: this host uses cgroup v1");
  }
  std::vector<std::string> warnings;
  RETURN_IF_ERROR(ApplyMemory(path, limits, warnings));
  RETURN_IF_ERROR(ApplyCpu(path, limits, warnings));
  RETURN_IF_ERROR(ApplyRest(path, limits, warnings));
  if (limits.devices.has_value()) RETURN_IF_ERROR(ApplyDevices(path, *limits.devices));
  return warnings;
}

absl::Status CgroupV1Driver::ApplyMemory(const std::string& path, const Limits& limits,
                                         std::vector<std::string>& warnings) {
  if (!Has("memory")) {
    if (limits.memory_bytes.has_value()) warnings.push_back(Lacks("memory", "memory"));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(
      CheckMemoryInUse(limits, ReadNumber(File("memory", path, "memory.usage_in_bytes"))));
  std::string swap_file = File("memory", path, "memory.memsw.limit_in_bytes");
  std::string limit_file = File("memory", path, "memory.limit_in_bytes");
  std::optional<int64_t> both = limits.memory_and_swap_bytes;
  if (both.has_value() && *both != 0 && !FileExists(swap_file)) {
    if (*both > 0) warnings.push_back("this kernel does not account swap: swap is not limited");
    both.reset();
  }
  if (both == 0) both.reset();
  // The kernel insists on memory <= memory+swap at every moment: raise the sum first, lower it
  // last.
  bool swap_first =
      both.has_value() && (*both < 0 || static_cast<uint64_t>(*both) > ReadNumber(swap_file));
  if (swap_first) RETURN_IF_ERROR(WriteFile(swap_file, absl::StrCat(*both)));
  if (limits.memory_bytes.has_value() && *limits.memory_bytes != 0) {
    RETURN_IF_ERROR(WriteFile(limit_file, absl::StrCat(*limits.memory_bytes)));
  }
  if (both.has_value() && !swap_first) RETURN_IF_ERROR(WriteFile(swap_file, absl::StrCat(*both)));
  if (limits.memory_reservation_bytes.value_or(0) != 0) {
    RETURN_IF_ERROR(WriteFile(File("memory", path, "memory.soft_limit_in_bytes"),
                              absl::StrCat(*limits.memory_reservation_bytes)));
  }
  if (limits.memory_swappiness.has_value()) {
    RETURN_IF_ERROR(WriteFile(File("memory", path, "memory.swappiness"),
                              absl::StrCat(*limits.memory_swappiness)));
  }
  if (limits.oom_kill_disable.value_or(false)) {
    RETURN_IF_ERROR(WriteFile(File("memory", path, "memory.oom_control"), "1"));
  }
  return absl::OkStatus();
}

absl::Status CgroupV1Driver::ApplyCpu(const std::string& path, const Limits& limits,
                                      std::vector<std::string>& warnings) {
  struct Setting {
    const char* file;
    std::optional<std::string> value;
  };
  auto text = [](auto value) {
    return value.has_value() ? std::optional<std::string>(absl::StrCat(*value)) : std::nullopt;
  };
  std::optional<uint64_t> shares = limits.cpu_shares;
  if (shares == 0u) shares.reset();
  std::optional<int64_t> quota = limits.cpu_quota_us;
  if (quota == 0) quota.reset();
  std::optional<uint64_t> period = limits.cpu_period_us;
  if (period == 0u) period.reset();
  // The period first: a quota is checked against it.
  const Setting settings[] = {
      {"cpu.idle", text(limits.cpu_idle)},
      {"cpu.shares", text(shares)},
      {"cpu.cfs_period_us", text(period)},
      {"cpu.cfs_quota_us", text(quota)},
      {"cpu.cfs_burst_us", text(limits.cpu_burst_us)},
      {"cpu.rt_period_us", text(limits.cpu_rt_period_us)},
      {"cpu.rt_runtime_us", text(limits.cpu_rt_runtime_us)},
  };
  for (const Setting& setting : settings) {
    if (!setting.value.has_value()) continue;
    std::string file = File("cpu", path, setting.file);
    if (!FileExists(file)) {
      warnings.push_back(absl::StrCat("this host has no ", setting.file, ": it is not set"));
      continue;
    }
    RETURN_IF_ERROR(WriteFile(file, *setting.value));
  }
  for (const auto& [file, value] : {std::pair("cpuset.cpus", limits.cpuset_cpus),
                                    std::pair("cpuset.mems", limits.cpuset_mems)}) {
    if (value.empty()) continue;
    if (!Has("cpuset")) {
      warnings.push_back(Lacks("cpuset", file));
      continue;
    }
    RETURN_IF_ERROR(WriteFile(File("cpuset", path, file), value));
  }
  return absl::OkStatus();
}

absl::Status CgroupV1Driver::ApplyBlockWeights(const std::string& path, const Limits& limits,
                                               std::vector<std::string>& warnings) {
  // One of two schedulers may know weights: BFQ, and CFQ before kernel 5.0, which alone had leaves.
  auto set = [&](absl::string_view file, const std::string& value) -> absl::Status {
    for (absl::string_view prefix : {"blkio.bfq.", "blkio."}) {
      std::string full = File("blkio", path, absl::StrCat(prefix, file));
      if (FileExists(full)) return WriteFile(full, value);
    }
    warnings.push_back(absl::StrCat("this host has no blkio.", file, ": it is not set"));
    return absl::OkStatus();
  };
  if (uint16_t weight = limits.block_weight.value_or(0); weight != 0) {
    RETURN_IF_ERROR(set("weight", absl::StrCat(weight)));
  }
  if (uint16_t weight = limits.block_leaf_weight.value_or(0); weight != 0) {
    RETURN_IF_ERROR(set("leaf_weight", absl::StrCat(weight)));
  }
  for (const BlockWeight& device : limits.block_weights) {
    std::string name = absl::StrCat(device.major, ":", device.minor, " ");
    if (uint16_t weight = device.weight.value_or(0); weight != 0) {
      RETURN_IF_ERROR(set("weight_device", absl::StrCat(name, weight)));
    }
    if (uint16_t weight = device.leaf_weight.value_or(0); weight != 0) {
      RETURN_IF_ERROR(set("leaf_weight_device", absl::StrCat(name, weight)));
    }
  }
  return absl::OkStatus();
}

absl::Status CgroupV1Driver::ApplyRest(const std::string& path, const Limits& limits,
                                       std::vector<std::string>& warnings) {
  if (limits.pids_max.value_or(0) != 0) {
    if (Has("pids")) {
      std::string value = *limits.pids_max < 0 ? "max" : absl::StrCat(*limits.pids_max);
      RETURN_IF_ERROR(WriteFile(File("pids", path, "pids.max"), value));
    } else {
      warnings.push_back(Lacks("pids", "the number of processes"));
    }
  }
  RETURN_IF_ERROR(ApplyBlockWeights(path, limits, warnings));
  for (const BlockThrottle& throttle : limits.block_throttles) {
    static const std::map<std::string, std::string> kFiles = {
        {"rbps", "blkio.throttle.read_bps_device"},
        {"wbps", "blkio.throttle.write_bps_device"},
        {"riops", "blkio.throttle.read_iops_device"},
        {"wiops", "blkio.throttle.write_iops_device"}};
    if (!Has("blkio")) {
      warnings.push_back(Lacks("blkio", "block I/O"));
      break;
    }
    auto file = kFiles.find(throttle.kind);
    if (file == kFiles.end()) return absl::InvalidArgumentError("throttle of an unknown kind");
    RETURN_IF_ERROR(
        WriteFile(File("blkio", path, file->second),
                  absl::StrCat(throttle.major, ":", throttle.minor, " ", throttle.rate)));
  }
  for (const auto& [size, bytes] : limits.hugepage_bytes) {
    std::string file = File("hugetlb", path, absl::StrCat("hugetlb.", size, ".limit_in_bytes"));
    std::string value = absl::StrCat(bytes);
    if (!Has("hugetlb") && !hierarchies_.v2.empty()) {
      file = absl::StrCat(hierarchies_.v2, "/", path, "/hugetlb.", size, ".max");
    }
    if (!FileExists(file)) {
      warnings.push_back(Lacks("hugetlb", absl::StrCat("hugepages of ", size)));
      continue;
    }
    RETURN_IF_ERROR(WriteFile(file, value));
  }
  for (const auto& [device, limit] : limits.rdma) {
    if (!Has("rdma")) {
      warnings.push_back(Lacks("rdma", device));
      continue;
    }
    RETURN_IF_ERROR(WriteFile(File("rdma", path, "rdma.max"), RdmaLine(device, limit)));
  }
  if (limits.network_class.has_value()) {
    RETURN_IF_ERROR(
        WriteFile(File("net_cls", path, "net_cls.classid"), absl::StrCat(*limits.network_class)));
  }
  for (const auto& [interface, priority] : limits.network_priorities) {
    RETURN_IF_ERROR(WriteFile(File("net_prio", path, "net_prio.ifpriomap"),
                              absl::StrCat(interface, " ", priority)));
  }
  return absl::OkStatus();
}

absl::Status CgroupV1Driver::ApplyDevices(const std::string& path,
                                          const std::vector<DeviceRule>& rules) {
  if (!Has("devices")) {
    return absl::UnimplementedError("devices: this host has no devices controller");
  }
  for (const DeviceRule& rule : rules) {
    RETURN_IF_ERROR(
        WriteFile(File("devices", path, rule.allow ? "devices.allow" : "devices.deny"),
                  rule.type == 'a' && rule.major < 0 && rule.minor < 0 ? "a" : DeviceLine(rule)));
  }
  return absl::OkStatus();
}

absl::Status CgroupV1Driver::Attach(const std::string& path, pid_t pid) {
  for (const std::string& mount : mounts_) {
    absl::Status wrote =
        WriteFile(absl::StrCat(mount, "/", path, "/cgroup.procs"), absl::StrCat(pid));
    if (ErrnoOf(wrote) == ESRCH) {
      return absl::NotFoundError(absl::StrCat("attach ", pid, ": no such process"));
    }
    RETURN_IF_ERROR(wrote);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<pid_t>> CgroupV1Driver::Processes(const std::string& path) {
  for (const char* controller : {"pids", "freezer", "memory", "devices"}) {
    if (!Has(controller)) continue;
    std::vector<pid_t> pids;
    RETURN_IF_ERROR(ListProcesses(File(controller, path, "."), pids));
    return pids;
  }
  std::vector<pid_t> pids;
  RETURN_IF_ERROR(ListProcesses(absl::StrCat(mounts_.front(), "/", path), pids));
  return pids;
}

absl::Status CgroupV1Driver::SetFreezer(const std::string& path, absl::string_view state) {
  if (!Has("freezer")) return absl::UnimplementedError("this host has no freezer controller");
  std::string file = File("freezer", path, "freezer.state");
  if (!FileExists(file)) return NoCgroup(path);
  // A cgroup with a process in the middle of forking stays FREEZING until asked again.
  constexpr int kAttempts = 1000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    RETURN_IF_ERROR(WriteFile(file, state));
    ASSIGN_OR_RETURN(std::string now, ReadFile(file));
    if (absl::StripAsciiWhitespace(now) == state) return absl::OkStatus();
    timespec pause = {.tv_sec = 0, .tv_nsec = 1'000'000};
    nanosleep(&pause, nullptr);
    if (state == "FROZEN" && attempt % 50 == 49) RETURN_IF_ERROR(WriteFile(file, "THAWED"));
  }
  if (state == "FROZEN") WriteFile(file, "THAWED").IgnoreError();
  return absl::DeadlineExceededError(
      absl::StrCat("freezer of ", path, ": not ", state, " in time"));
}

absl::Status CgroupV1Driver::Freeze(const std::string& path) { return SetFreezer(path, "FROZEN"); }
absl::Status CgroupV1Driver::Thaw(const std::string& path) { return SetFreezer(path, "THAWED"); }

absl::StatusOr<bool> CgroupV1Driver::IsFrozen(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  if (!Has("freezer")) return false;
  ASSIGN_OR_RETURN(std::string state, ReadFile(File("freezer", path, "freezer.state")));
  return absl::StripAsciiWhitespace(state) != "THAWED";
}

absl::Status CgroupV1Driver::KillAll(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  bool killed = false;
  if (!hierarchies_.v2.empty()) {
    killed = WriteFile(absl::StrCat(hierarchies_.v2, "/", path, "/cgroup.kill"), "1").ok();
  }
  if (!killed) {
    // Frozen, nothing forks between the listing and the kill.
    absl::Status frozen = Freeze(path);
    ASSIGN_OR_RETURN(std::vector<pid_t> pids, Processes(path));
    for (pid_t pid : pids) kill(pid, SIGKILL);
    if (!frozen.ok()) {
      ASSIGN_OR_RETURN(pids, Processes(path));
      for (pid_t pid : pids) kill(pid, SIGKILL);
    }
  }
  // A process in a frozen v1 cgroup does not die before it thaws.
  if (Has("freezer")) RETURN_IF_ERROR(WriteFile(File("freezer", path, "freezer.state"), "THAWED"));
  return absl::OkStatus();
}

absl::StatusOr<Stats> CgroupV1Driver::ReadStats(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  Stats stats;
  stats.cpu_usage_ns = ReadNumber(File("cpuacct", path, "cpuacct.usage"));
  std::map<std::string, uint64_t> cpu = ReadKeyed(File("cpuacct", path, "cpuacct.stat"));
  stats.cpu_user_ns = cpu["user"] * kTickNs;
  stats.cpu_system_ns = cpu["system"] * kTickNs;
  absl::StatusOr<std::string> per_core = ReadFile(File("cpuacct", path, "cpuacct.usage_percpu"));
  if (per_core.ok()) {
    for (absl::string_view word :
         absl::StrSplit(*per_core, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
      uint64_t ns = 0;
      if (absl::SimpleAtoi(word, &ns)) stats.cpu_per_core_ns.push_back(ns);
    }
  }
  std::map<std::string, uint64_t> throttled = ReadKeyed(File("cpu", path, "cpu.stat"));
  stats.cpu_periods = throttled["nr_periods"];
  stats.cpu_throttled_periods = throttled["nr_throttled"];
  stats.cpu_throttled_ns = throttled["throttled_time"];

  stats.memory = ReadKeyed(File("memory", path, "memory.stat"));
  stats.memory_usage_bytes = ReadNumber(File("memory", path, "memory.usage_in_bytes"));
  stats.memory_peak_bytes = ReadNumber(File("memory", path, "memory.max_usage_in_bytes"));
  stats.memory_limit_bytes = Limit(ReadNumber(File("memory", path, "memory.limit_in_bytes")));
  stats.memory_failures = ReadNumber(File("memory", path, "memory.failcnt"));
  stats.memory_inactive_file_bytes = stats.memory["total_inactive_file"];
  stats.memory_swap_bytes = stats.memory["total_swap"];
  stats.memory_swap_limit_bytes =
      Limit(ReadNumber(File("memory", path, "memory.memsw.limit_in_bytes")));
  stats.oom_kills = ReadKeyed(File("memory", path, "memory.oom_control"))["oom_kill"];

  stats.pids = ReadNumber(File("pids", path, "pids.current"));
  stats.pids_limit = ReadNumber(File("pids", path, "pids.max"));
  AddBlock(File("blkio", path, "blkio.throttle.io_service_bytes_recursive"), stats.block_read_bytes,
           stats.block_write_bytes);
  AddBlock(File("blkio", path, "blkio.throttle.io_serviced_recursive"), stats.block_read_operations,
           stats.block_write_operations);
  return stats;
}

absl::StatusOr<uint64_t> CgroupV1Driver::ReadOomKills(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  return ReadKeyed(File("memory", path, "memory.oom_control"))["oom_kill"];
}

absl::StatusOr<UniqueFd> CgroupV1Driver::WatchOom(const std::string& path) {
  if (!Exists(path)) return NoCgroup(path);
  if (!Has("memory")) return absl::UnimplementedError("this host has no memory controller");
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return SyscallError(errno, "eventfd");
  std::string file = File("memory", path, "memory.oom_control");
  UniqueFd control(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!control.valid()) return SyscallError(errno, absl::StrCat("open ", file));
  RETURN_IF_ERROR(WriteFile(File("memory", path, "cgroup.event_control"),
                            absl::StrCat(event.get(), " ", control.get())));
  return event;
}

absl::Status CgroupV1Driver::Delete(const std::string& path) {
  absl::Status first;
  for (const std::string& mount : mounts_) first.Update(RemoveTree(absl::StrCat(mount, "/", path)));
  return first;
}

absl::StatusOr<UniqueFd> CgroupV1Driver::OpenDirectory(const std::string& path) {
  return absl::UnimplementedError(absl::StrCat("cgroup ", path, ": v1 has many directories"));
}

}  // namespace darse::cgroup
