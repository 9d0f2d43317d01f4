#include "services/metrics/samples/cgroup_reader.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/os/files.h"
#include "services/metrics/samples/kernel_file.h"

namespace darse::metrics {
namespace {

// Limits change rarely and are read once in so many samples.
constexpr int kLimitsEvery = 10;

absl::string_view Or(const absl::StatusOr<absl::string_view>& text) {
  return text.ok() ? *text : absl::string_view();
}

// Usage without inactive file pages, which the kernel gives back when asked.
uint64_t WorkingSet(uint64_t usage, uint64_t inactive_file) {
  return usage > inactive_file ? usage - inactive_file : 0;
}

uint64_t Millicores(uint64_t quota_us, uint64_t period_us) {
  return period_us == 0 ? 0 : quota_us * 1000 / period_us;
}

class V1Reader final : public CgroupReader {
 public:
  V1Reader(const CgroupMounts& mounts, absl::string_view path)
      : usage_(File(mounts.cpuacct, path, "cpuacct.usage")),
        cpu_stat_(File(mounts.cpu, path, "cpu.stat")),
        quota_(File(mounts.cpu, path, "cpu.cfs_quota_us")),
        period_(File(mounts.cpu, path, "cpu.cfs_period_us")),
        memory_usage_(File(mounts.memory, path, "memory.usage_in_bytes")),
        memory_stat_(File(mounts.memory, path, "memory.stat")),
        memory_limit_(File(mounts.memory, path, "memory.limit_in_bytes")),
        oom_(File(mounts.memory, path, "memory.oom_control")),
        block_(File(mounts.blkio, path, "blkio.throttle.io_service_bytes_recursive")),
        pids_(File(mounts.pids, path, "pids.current")),
        pids_limit_(File(mounts.pids, path, "pids.max")) {}

  absl::StatusOr<CgroupCounters> Read() override {
    auto usage = usage_.Read();
    if (!usage.ok()) {
      reads_ = 0;
      return absl::NotFoundError(usage.status().message());
    }
    CgroupCounters counters = limits_;
    counters.cpu_usage_ns = ParseNumber(*usage);
    ForEachPair(Or(cpu_stat_.Read()), [&](absl::string_view key, uint64_t value) {
      if (key == "nr_periods") counters.cpu_periods = value;
      if (key == "nr_throttled") counters.cpu_throttled_periods = value;
    });
    uint64_t memory = ParseNumber(Or(memory_usage_.Read()));
    uint64_t inactive = 0;
    ForEachPair(Or(memory_stat_.Read()), [&](absl::string_view key, uint64_t value) {
      if (key == "total_inactive_file") inactive = value;
      if (key == "total_swap") counters.memory_swap_bytes = value;
    });
    counters.memory_working_set_bytes = WorkingSet(memory, inactive);
    ForEachPair(Or(oom_.Read()), [&](absl::string_view key, uint64_t value) {
      if (key == "oom_kill") counters.oom_kills = value;
    });
    counters.block = ParseBlkio(Or(block_.Read()));
    counters.pids = ParseNumber(Or(pids_.Read()));
    if (reads_++ % kLimitsEvery == 0) ReadLimits(counters);
    return counters;
  }

 private:
  static KernelFile File(const std::string& mount, absl::string_view path, absl::string_view name) {
    return KernelFile(absl::StrCat(mount, "/", path, "/", name));
  }
  void ReadLimits(CgroupCounters& counters) {
    counters.memory_limit_bytes = ParseNumber(Or(memory_limit_.Read()));
    counters.pids_limit = ParseNumber(Or(pids_limit_.Read()));
    // -1, no quota, does not parse and is 0.
    uint64_t quota = ParseNumber(Or(quota_.Read()));
    counters.cpu_limit_millicores = Millicores(quota, ParseNumber(Or(period_.Read())));
    limits_ = {.cpu_limit_millicores = counters.cpu_limit_millicores,
               .memory_limit_bytes = counters.memory_limit_bytes,
               .pids_limit = counters.pids_limit};
  }

  KernelFile usage_, cpu_stat_, quota_, period_, memory_usage_, memory_stat_, memory_limit_, oom_,
      block_, pids_, pids_limit_;
  int reads_ = 0;
  CgroupCounters limits_;
};

class V2Reader final : public CgroupReader {
 public:
  V2Reader(const CgroupMounts& mounts, absl::string_view path)
      : directory_(absl::StrCat(mounts.unified, "/", path, "/")),
        cpu_stat_(directory_ + "cpu.stat"),
        cpu_max_(directory_ + "cpu.max"),
        memory_current_(directory_ + "memory.current"),
        memory_stat_(directory_ + "memory.stat"),
        memory_max_(directory_ + "memory.max"),
        memory_events_(directory_ + "memory.events"),
        swap_(directory_ + "memory.swap.current"),
        io_(directory_ + "io.stat"),
        pids_(directory_ + "pids.current"),
        pids_max_(directory_ + "pids.max"),
        cpu_pressure_(directory_ + "cpu.pressure"),
        memory_pressure_(directory_ + "memory.pressure"),
        io_pressure_(directory_ + "io.pressure") {}

  absl::StatusOr<CgroupCounters> Read() override {
    auto cpu = cpu_stat_.Read();
    if (!cpu.ok()) {
      reads_ = 0;
      return absl::NotFoundError(cpu.status().message());
    }
    CgroupCounters counters = limits_;
    ForEachPair(*cpu, [&](absl::string_view key, uint64_t value) {
      if (key == "usage_usec") counters.cpu_usage_ns = value * 1000;
      if (key == "nr_periods") counters.cpu_periods = value;
      if (key == "nr_throttled") counters.cpu_throttled_periods = value;
    });
    uint64_t memory = ParseNumber(Or(memory_current_.Read()));
    uint64_t inactive = 0;
    ForEachPair(Or(memory_stat_.Read()), [&](absl::string_view key, uint64_t value) {
      if (key == "inactive_file") inactive = value;
    });
    counters.memory_working_set_bytes = WorkingSet(memory, inactive);
    counters.memory_swap_bytes = ParseNumber(Or(swap_.Read()));
    ForEachPair(Or(memory_events_.Read()), [&](absl::string_view key, uint64_t value) {
      if (key == "oom_kill") counters.oom_kills = value;
    });
    counters.block = ParseIoStat(Or(io_.Read()));
    counters.pids = ParseNumber(Or(pids_.Read()));
    counters.cpu_pressure = ParsePressure(Or(cpu_pressure_.Read()));
    counters.memory_pressure = ParsePressure(Or(memory_pressure_.Read()));
    counters.io_pressure = ParsePressure(Or(io_pressure_.Read()));
    if (reads_++ % kLimitsEvery == 0) ReadLimits(counters);
    return counters;
  }

 private:
  void ReadLimits(CgroupCounters& counters) {
    counters.memory_limit_bytes = ParseNumber(Or(memory_max_.Read()));
    counters.pids_limit = ParseNumber(Or(pids_max_.Read()));
    // "<quota or max> <period>"
    absl::string_view cpu_max = Or(cpu_max_.Read());
    std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(cpu_max, ' ');
    counters.cpu_limit_millicores = Millicores(ParseNumber(parts.first), ParseNumber(parts.second));
    limits_ = {.cpu_limit_millicores = counters.cpu_limit_millicores,
               .memory_limit_bytes = counters.memory_limit_bytes,
               .pids_limit = counters.pids_limit};
  }

  std::string directory_;
  KernelFile cpu_stat_, cpu_max_, memory_current_, memory_stat_, memory_max_, memory_events_, swap_,
      io_, pids_, pids_max_, cpu_pressure_, memory_pressure_, io_pressure_;
  int reads_ = 0;
  CgroupCounters limits_;
};

}  // namespace

CgroupMounts FindCgroupMounts(absl::string_view mountinfo) {
  CgroupMounts mounts;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    // "36 35 98:0 /root /mount/point options … - type source superoptions"
    std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    std::vector<absl::string_view> left = absl::StrSplit(halves.first, ' ');
    std::vector<absl::string_view> right = absl::StrSplit(halves.second, ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    std::string place(left[4]);
    if (right[0] == "cgroup2") mounts.unified = place;
    if (right[0] != "cgroup") continue;
    for (absl::string_view option : absl::StrSplit(right[2], ',')) {
      if (option == "cpu") mounts.cpu = place;
      if (option == "cpuacct") mounts.cpuacct = place;
      if (option == "memory") mounts.memory = place;
      if (option == "blkio") mounts.blkio = place;
      if (option == "pids") mounts.pids = place;
    }
  }
  return mounts;
}

std::unique_ptr<CgroupReader> CgroupReader::ForPath(const CgroupMounts& mounts,
                                                    absl::string_view cgroup_path) {
  absl::string_view path = absl::StripPrefix(cgroup_path, "/");
  if (!mounts.cpuacct.empty()) return std::make_unique<V1Reader>(mounts, path);
  return std::make_unique<V2Reader>(mounts, path);
}

}  // namespace darse::metrics
