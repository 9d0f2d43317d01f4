#include "libs/linux/cgroup/systemd_cgroup_driver.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/number_list.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/cgroup/cgroup_files.h"
#include "libs/linux/cgroup/cgroup_v2_driver.h"

namespace darse::cgroup {
namespace {

using systemd::Property;

constexpr uint64_t kInfinity = std::numeric_limits<uint64_t>::max();
constexpr absl::string_view kSlice = ".slice";

std::string UnitOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string SliceOf(const std::string& path) {
  size_t end = path.rfind('/');
  return end == std::string::npos ? "-.slice" : UnitOf(path.substr(0, end));
}

// A process that does nothing until it is killed, at the latest when we end.
absl::StatusOr<pid_t> StartPlaceholder() {
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid < 0) return SyscallError(errno, "fork");
  if (pid > 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  sigset_t none;
  sigemptyset(&none);
  while (getppid() == parent) sigsuspend(&none);
  _exit(0);
}

uint64_t NumberOrMax(absl::string_view text) {
  uint64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : kInfinity;
}

// systemd keeps whole percents: what does not fit is rounded up, never down.
uint64_t MicrosecondsPerSecond(int64_t quota_us, uint64_t period_us) {
  if (quota_us <= 0) return kInfinity;
  constexpr uint64_t kPercent = 10'000;
  uint64_t per_second = static_cast<uint64_t>(quota_us) * 1'000'000 / period_us;
  return (per_second + kPercent - 1) / kPercent * kPercent;
}

void AddQuota(int64_t quota_us, uint64_t period_us, std::vector<Property>& properties) {
  properties.push_back({"CPUQuotaPeriodUSec", period_us});
  properties.push_back({"CPUQuotaPerSecUSec", MicrosecondsPerSecond(quota_us, period_us)});
}

absl::Status AddOfV2(const V2Setting& setting, std::vector<Property>& properties) {
  static const std::map<std::string, std::string> kNumbers = {
      {"memory.max", "MemoryMax"}, {"memory.high", "MemoryHigh"},
      {"memory.low", "MemoryLow"}, {"memory.min", "MemoryMin"},
      {"cpu.weight", "CPUWeight"}, {"memory.swap.max", "MemorySwapMax"},
      {"pids.max", "TasksMax"},    {"io.weight", "IOWeight"}};
  static const std::map<std::string, std::string> kLists = {{"cpuset.cpus", "AllowedCPUs"},
                                                            {"cpuset.mems", "AllowedMemoryNodes"}};
  if (auto found = kNumbers.find(setting.file); found != kNumbers.end()) {
    absl::string_view value = absl::StripPrefix(setting.value, "default ");
    properties.push_back({found->second, NumberOrMax(value)});
  } else if (auto list = kLists.find(setting.file); list != kLists.end()) {
    ASSIGN_OR_RETURN(std::vector<uint8_t> bits, BitsOfList(setting.value));
    properties.push_back({list->second, std::move(bits)});
  } else if (setting.file == "cpu.idle" && setting.value == "1") {
    properties.push_back({"CPUWeight", uint64_t{0}});
  } else if (setting.file == "cpu.max") {
    std::vector<absl::string_view> words = absl::StrSplit(setting.value, ' ', absl::SkipEmpty());
    uint64_t period = 100'000;
    int64_t quota = -1;
    if (words.empty() || (words[0] != "max" && !absl::SimpleAtoi(words[0], &quota)) ||
        (words.size() > 1 && (!absl::SimpleAtoi(words[1], &period) || period == 0))) {
      return absl::InvalidArgumentError(absl::StrCat("cpu.max: \"", setting.value, "\""));
    }
    AddQuota(quota, period, properties);
  }
  // systemd has no word for the others, and does not touch them.
  return absl::OkStatus();
}

uint64_t OrInfinity(int64_t value) { return value < 0 ? kInfinity : static_cast<uint64_t>(value); }

void AddOfV1(const Limits& limits, std::vector<Property>& properties) {
  if (limits.memory_bytes.value_or(0) != 0) {
    properties.push_back({"MemoryLimit", OrInfinity(*limits.memory_bytes)});
  }
  if (limits.cpu_shares.value_or(0) != 0) properties.push_back({"CPUShares", *limits.cpu_shares});
  if (limits.cpu_quota_us.value_or(0) != 0 || limits.cpu_period_us.value_or(0) != 0) {
    uint64_t period = limits.cpu_period_us.value_or(0);
    AddQuota(limits.cpu_quota_us.value_or(0), period == 0 ? 100'000 : period, properties);
  }
  if (limits.block_weight.value_or(0) != 0) {
    properties.push_back({"BlockIOWeight", uint64_t{*limits.block_weight}});
  }
  if (limits.pids_max.value_or(0) != 0) {
    properties.push_back({"TasksMax", OrInfinity(*limits.pids_max)});
  }
}

bool Overlap(const DeviceRule& one, const DeviceRule& other) {
  auto may_be = [](int64_t a, int64_t b) { return a < 0 || b < 0 || a == b; };
  return (one.type == 'a' || other.type == 'a' || one.type == other.type) &&
         may_be(one.major, other.major) && may_be(one.minor, other.minor);
}

// A class of devices as systemd has it: "char-pts". Empty if the kernel has none with this number.
std::string ClassOf(char type, int64_t major, absl::string_view proc_devices) {
  absl::string_view kind = type == 'b' ? "block" : "char";
  if (major < 0) return absl::StrCat(kind, "-*");
  bool block = false;
  for (absl::string_view line : absl::StrSplit(proc_devices, '\n')) {
    if (absl::StartsWith(line, "Block")) block = true;
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (block != (type == 'b') || words.size() != 2) continue;
    if (words[0] == absl::StrCat(major)) return absl::StrCat(kind, "-", words[1]);
  }
  return "";
}

// What `rules` allow in the end. systemd has no exceptions from what it allows: where a part is
// denied later, the whole is not told to it, and is denied from when it is reloaded.
std::vector<std::pair<std::string, std::string>> AllowedDevices(
    const std::vector<DeviceRule>& rules, absl::string_view proc_devices) {
  std::vector<DeviceRule> allowed;
  for (const DeviceRule& rule : rules) {
    if (rule.allow) {
      allowed.push_back(rule);
    } else {
      std::erase_if(allowed, [&](const DeviceRule& earlier) { return Overlap(rule, earlier); });
    }
  }
  std::vector<std::pair<std::string, std::string>> list;
  for (const DeviceRule& rule : allowed) {
    std::string access =
        absl::StrCat(rule.read ? "r" : "", rule.write ? "w" : "", rule.make_node ? "m" : "");
    for (char type : {'b', 'c'}) {
      if (rule.type != 'a' && rule.type != type) continue;
      std::string name =
          absl::StrCat(type == 'b' ? "/dev/block/" : "/dev/char/", rule.major, ":", rule.minor);
      if (rule.major < 0 || rule.minor < 0) name = ClassOf(type, rule.major, proc_devices);
      if (!name.empty()) list.emplace_back(std::move(name), access);
    }
  }
  return list;
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> BitsOfList(absl::string_view list) {
  list = absl::StripAsciiWhitespace(list);
  std::vector<uint8_t> bits;
  if (list.empty()) return bits;
  ASSIGN_OR_RETURN(std::vector<uint32_t> numbers, ParseNumberList(list));
  for (uint32_t number : numbers) {
    if (bits.size() <= number / 8) bits.resize(number / 8 + 1);
    bits[number / 8] |= static_cast<uint8_t>(1 << number % 8);
  }
  return bits;
}

absl::StatusOr<std::string> SlicePath(absl::string_view slice) {
  if (slice == "-.slice") return std::string();
  absl::string_view name = slice;
  if (!absl::ConsumeSuffix(&name, kSlice) || name.empty() || absl::StrContains(name, '/') ||
      absl::StartsWith(name, "-") || absl::EndsWith(name, "-") || absl::StrContains(name, "--")) {
    return absl::InvalidArgumentError(absl::StrCat("\"", slice, "\": not the name of a slice"));
  }
  std::string path, so_far;
  for (absl::string_view part : absl::StrSplit(name, '-')) {
    absl::StrAppend(&so_far, so_far.empty() ? "" : "-", part);
    absl::StrAppend(&path, path.empty() ? "" : "/", so_far, kSlice);
  }
  return path;
}

absl::StatusOr<std::string> ScopePath(absl::string_view cgroups_path) {
  std::vector<absl::string_view> parts = absl::StrSplit(cgroups_path, ':');
  if (parts.size() != 3 || parts[2].empty() || absl::StrContains(parts[1], '/') ||
      absl::StrContains(parts[2], '/')) {
    return absl::InvalidArgumentError(absl::StrCat(
        "linux.cgroupsPath \"", cgroups_path,
        "\": under --systemd-cgroup it is \"slice:prefix:name\", as system.slice:darse:web"));
  }
  if (absl::EndsWith(parts[2], kSlice)) {
    return absl::InvalidArgumentError(absl::StrCat("linux.cgroupsPath \"", cgroups_path,
                                                   "\": a container is a scope, not a slice"));
  }
  ASSIGN_OR_RETURN(std::string directory, SlicePath(parts[0].empty() ? "system.slice" : parts[0]));
  return absl::StrCat(directory, directory.empty() ? "" : "/", parts[1],
                      parts[1].empty() ? "" : "-", parts[2], ".scope");
}

absl::StatusOr<std::vector<Property>> PlanProperties(const Limits& limits, bool v2,
                                                     absl::string_view proc_devices) {
  std::vector<Property> properties;
  if (!v2) {
    AddOfV1(limits, properties);
    // Reloaded, systemd would allow all devices again. On v2 our filter stays beside its own.
    if (limits.devices.has_value()) {
      properties.push_back({"DevicePolicy", std::string("strict")});
      properties.push_back({"DeviceAllow", AllowedDevices(*limits.devices, proc_devices)});
    }
    return properties;
  }
  ASSIGN_OR_RETURN(std::vector<V2Setting> settings, PlanV2(limits));
  for (const V2Setting& setting : settings) RETURN_IF_ERROR(AddOfV2(setting, properties));
  return properties;
}

SystemdCgroupDriver::~SystemdCgroupDriver() {
  while (!placeholders_.empty()) EndPlaceholder(std::string(placeholders_.begin()->first));
}

void SystemdCgroupDriver::EndPlaceholder(const std::string& path) {
  auto found = placeholders_.find(path);
  if (found == placeholders_.end()) return;
  kill(found->second, SIGKILL);
  waitpid(found->second, nullptr, 0);
  placeholders_.erase(found);
}

absl::StatusOr<systemd::Units*> SystemdCgroupDriver::Systemd() {
  if (units_ == nullptr) {
    ASSIGN_OR_RETURN(units_, connect_());
  }
  return units_.get();
}

absl::StatusOr<std::string> SystemdCgroupDriver::Resolve(absl::string_view cgroups_path,
                                                         absl::string_view id) const {
  if (cgroups_path.empty()) return ScopePath(absl::StrCat("system.slice:darse:", id));
  return ScopePath(cgroups_path);
}

absl::Status SystemdCgroupDriver::Create(const std::string& path) {
  std::string unit = UnitOf(path);
  ASSIGN_OR_RETURN(systemd::Units * units, Systemd());
  ASSIGN_OR_RETURN(pid_t pid, StartPlaceholder());
  absl::Cleanup unused = [&, pid] {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  };
  std::vector<Property> properties = {{"Description", absl::StrCat("Darse container ", unit)},
                                      {"Slice", SliceOf(path)},
                                      {"Delegate", true},
                                      {"MemoryAccounting", true},
                                      {"CPUAccounting", true},
                                      {"TasksAccounting", true},
                                      {Mode() == "v2" ? "IOAccounting" : "BlockIOAccounting", true},
                                      // Else the machine's shutdown ends it before who uses it.
                                      {"DefaultDependencies", false}};
  absl::Status started = units->StartScope(unit, pid, properties);
  if (absl::IsAlreadyExists(started)) {
    // One that failed lingers; one that lives is joined.
    RETURN_IF_ERROR(units->ForgetFailure(unit));
    started = units->StartScope(unit, pid, properties);
    if (absl::IsAlreadyExists(started)) return absl::OkStatus();
  }
  RETURN_IF_ERROR(started);
  placeholders_[path] = pid;
  std::move(unused).Cancel();
  // With the controllers that systemd does not know.
  return kernel_->Create(path);
}

absl::StatusOr<std::vector<std::string>> SystemdCgroupDriver::Apply(const std::string& path,
                                                                    const Limits& limits) {
  if (!Exists(path)) return kernel_->Apply(path, limits);
  ASSIGN_OR_RETURN(std::string devices, ReadFile("/proc/devices"));
  ASSIGN_OR_RETURN(std::vector<Property> properties,
                   PlanProperties(limits, Mode() == "v2", devices));
  if (!properties.empty()) {
    ASSIGN_OR_RETURN(systemd::Units * units, Systemd());
    RETURN_IF_ERROR(units->SetProperties(UnitOf(path), properties));
  }
  return kernel_->Apply(path, limits);
}

absl::Status SystemdCgroupDriver::Attach(const std::string& path, pid_t pid) {
  ASSIGN_OR_RETURN(systemd::Units * units, Systemd());
  RETURN_IF_ERROR(units->Attach(UnitOf(path), pid));
  absl::Status attached = kernel_->Attach(path, pid);
  if (attached.ok()) EndPlaceholder(path);
  return attached;
}

absl::StatusOr<std::vector<pid_t>> SystemdCgroupDriver::Processes(const std::string& path) {
  ASSIGN_OR_RETURN(std::vector<pid_t> pids, kernel_->Processes(path));
  for (const auto& [where, placeholder] : placeholders_) std::erase(pids, placeholder);
  return pids;
}

absl::Status SystemdCgroupDriver::KillAll(const std::string& path) {
  RETURN_IF_ERROR(kernel_->KillAll(path));
  EndPlaceholder(path);
  return absl::OkStatus();
}

absl::Status SystemdCgroupDriver::Delete(const std::string& path) {
  absl::StatusOr<std::vector<pid_t>> pids = Processes(path);
  if (!pids.ok() && !absl::IsNotFound(pids.status())) return pids.status();
  if (pids.ok() && !pids->empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cgroup ", path, ": has ", pids->size(), " processes"));
  }
  EndPlaceholder(path);
  ASSIGN_OR_RETURN(systemd::Units * units, Systemd());
  RETURN_IF_ERROR(units->Stop(UnitOf(path)));
  return kernel_->Delete(path);
}

absl::StatusOr<UniqueFd> SystemdCgroupDriver::OpenDirectory(const std::string&) {
  return absl::UnimplementedError("systemd attaches");
}

}  // namespace darse::cgroup
