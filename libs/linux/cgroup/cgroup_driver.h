// The one seam to the kernel's control groups.
//
// A cgroup is named by its path below every controller's mount, without a leading slash:
// "darse/ab12". Two drivers touch the kernel, for v1 (alone or hybrid) and for v2; the fake keeps
// everything in memory. All three pass cgroup_contract_test.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::cgroup {

// One rule of the device list; the first that matches from the end decides.
struct DeviceRule {
  bool allow = false;
  char type = 'a';     // 'a' all, 'b' block, 'c' character
  int64_t major = -1;  // -1: any
  int64_t minor = -1;
  bool read = true, write = true, make_node = true;

  bool operator==(const DeviceRule&) const = default;
};

struct BlockThrottle {
  int64_t major = 0, minor = 0;
  // One of "rbps", "wbps", "riops", "wiops".
  std::string kind;
  uint64_t rate = 0;

  bool operator==(const BlockThrottle&) const = default;
};

struct BlockWeight {
  int64_t major = 0, minor = 0;
  std::optional<uint16_t> weight, leaf_weight;  // 10..1000; the second: v1

  bool operator==(const BlockWeight&) const = default;
};

struct RdmaLimit {
  std::optional<uint32_t> handles, objects;

  bool operator==(const RdmaLimit&) const = default;
};

// What is absent stays as it is; -1 means "no limit" where a limit is a number of bytes or tasks.
struct Limits {
  std::optional<int64_t> memory_bytes;
  std::optional<int64_t> memory_and_swap_bytes;
  std::optional<int64_t> memory_reservation_bytes;
  // A memory limit below what is in use is refused (the kernel would kill for it).
  bool memory_check_before_update = false;
  std::optional<uint64_t> memory_swappiness;  // v1
  std::optional<bool> oom_kill_disable;       // v1
  std::optional<uint64_t> cpu_shares;         // 2..262144, v1's scale; converted for v2
  std::optional<int64_t> cpu_quota_us;
  std::optional<uint64_t> cpu_period_us;
  std::optional<uint64_t> cpu_burst_us;
  std::optional<int64_t> cpu_idle;
  std::optional<int64_t> cpu_rt_runtime_us;  // v1
  std::optional<uint64_t> cpu_rt_period_us;  // v1
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::optional<int64_t> pids_max;
  std::optional<uint16_t> block_weight;       // 10..1000
  std::optional<uint16_t> block_leaf_weight;  // v1
  std::vector<BlockWeight> block_weights;
  std::vector<BlockThrottle> block_throttles;
  std::map<std::string, uint64_t> hugepage_bytes;      // "2MB" -> bytes
  std::map<std::string, RdmaLimit> rdma;               // by device
  std::optional<uint32_t> network_class;               // v1
  std::map<std::string, uint32_t> network_priorities;  // v1: interface -> priority
  std::map<std::string, std::string> unified;          // v2: file -> content
  // Replaces the whole device list where set.
  std::optional<std::vector<DeviceRule>> devices;

  bool operator==(const Limits&) const = default;
};

struct Pressure {
  double some_avg10 = 0, some_avg60 = 0, some_avg300 = 0;
  uint64_t some_total_us = 0;
  double full_avg10 = 0, full_avg60 = 0, full_avg300 = 0;
  uint64_t full_total_us = 0;
};

// A counter that the host does not keep is 0; an absent limit is 0 too.
struct Stats {
  uint64_t cpu_usage_ns = 0, cpu_user_ns = 0, cpu_system_ns = 0;
  uint64_t cpu_periods = 0, cpu_throttled_periods = 0, cpu_throttled_ns = 0;
  std::vector<uint64_t> cpu_per_core_ns;  // v1
  uint64_t memory_usage_bytes = 0, memory_peak_bytes = 0, memory_limit_bytes = 0;
  uint64_t memory_swap_bytes = 0, memory_swap_limit_bytes = 0;
  uint64_t memory_inactive_file_bytes = 0;
  uint64_t memory_failures = 0;  // times the limit was hit
  uint64_t oom_kills = 0;
  std::map<std::string, uint64_t> memory;  // memory.stat as it is
  uint64_t pids = 0, pids_limit = 0;
  uint64_t block_read_bytes = 0, block_write_bytes = 0;
  uint64_t block_read_operations = 0, block_write_operations = 0;
  std::optional<Pressure> cpu_pressure, memory_pressure, io_pressure;
};

// Usage without inactive file pages, never below zero: what `docker stats` shows.
uint64_t WorkingSet(const Stats& stats);

// Thread-safe where the driver touches only the kernel; the fake is too.
class CgroupDriver {
 public:
  virtual ~CgroupDriver() = default;

  // "v1", "hybrid", "v2" or "fake".
  virtual absl::string_view Mode() const = 0;
  // Where a config.json with linux.cgroupsPath `cgroups_path` puts the container `id`: there, below
  // the mounts, or "darse/<id>" if it is empty. INVALID_ARGUMENT if it is not what the driver
  // takes.
  virtual absl::StatusOr<std::string> Resolve(absl::string_view cgroups_path,
                                              absl::string_view id) const;
  // With its parents. OK if it is there already.
  virtual absl::Status Create(const std::string& path) = 0;
  // Returns what could not be done as asked because the host lacks it, as sentences. NOT_FOUND
  // without the cgroup; INVALID_ARGUMENT for a value that the kernel refuses.
  virtual absl::StatusOr<std::vector<std::string>> Apply(const std::string& path,
                                                         const Limits& limits) = 0;
  // The process and what it will fork. NOT_FOUND without the cgroup or the process.
  virtual absl::Status Attach(const std::string& path, pid_t pid) = 0;
  // Of the cgroup and those below it. NOT_FOUND without the cgroup.
  virtual absl::StatusOr<std::vector<pid_t>> Processes(const std::string& path) = 0;
  // Answers when every process has stopped. OK when frozen already.
  virtual absl::Status Freeze(const std::string& path) = 0;
  virtual absl::Status Thaw(const std::string& path) = 0;
  virtual absl::StatusOr<bool> IsFrozen(const std::string& path) = 0;
  // SIGKILL to all, frozen or not, those that fork meanwhile too. They may not have ended yet on
  // return.
  virtual absl::Status KillAll(const std::string& path) = 0;
  virtual absl::StatusOr<Stats> ReadStats(const std::string& path) = 0;
  // Only this one number, cheaply.
  virtual absl::StatusOr<uint64_t> ReadOomKills(const std::string& path) = 0;
  // Readable (poll) when the kernel may have killed for memory: then read the fd dry and
  // ReadOomKills.
  virtual absl::StatusOr<UniqueFd> WatchOom(const std::string& path) = 0;
  // With cgroups below it. OK if it is gone; FAILED_PRECONDITION while it has processes.
  virtual absl::Status Delete(const std::string& path) = 0;
  virtual bool Exists(const std::string& path) = 0;
  // v2 only: an fd for CLONE_INTO_CGROUP; UNIMPLEMENTED elsewhere.
  virtual absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) = 0;
};

// CgroupDriver::Apply for who wants all or an error: FAILED_PRECONDITION for what the host lacks.
// The rest is applied all the same.
absl::Status ApplyAll(CgroupDriver& driver, const std::string& path, const Limits& limits);

// Which hierarchies this host has, from /proc/self/mountinfo. Looked up once in a process: what it
// forks knows them too.
struct Hierarchies {
  std::map<std::string, std::string> v1;  // controller, or "name=systemd" -> mount point
  std::string v2;                         // mount point, empty without one
};
Hierarchies ParseMountInfo(absl::string_view mountinfo);
absl::StatusOr<Hierarchies> FindHierarchies();

// The driver for this host. UNIMPLEMENTED when no cgroups are mounted.
absl::StatusOr<std::unique_ptr<CgroupDriver>> OpenHostCgroups();

// INVALID_ARGUMENT unless relative, non-empty, and free of "." and "..". Takes a leading slash off.
absl::StatusOr<std::string> NormalizePath(absl::string_view path);

}  // namespace darse::cgroup
