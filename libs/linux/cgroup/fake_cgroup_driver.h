// Control groups in memory.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::cgroup {

// Thread-safe. Processes are numbers; all numbers exist. KillAll empties a cgroup at once.
class FakeCgroupDriver final : public CgroupDriver {
 public:
  absl::string_view Mode() const override { return "fake"; }

  absl::Status Create(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    for (size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1)) {
      groups_[path.substr(0, end)];
    }
    groups_[path];
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> Apply(const std::string& path,
                                                 const Limits& limits) override {
    absl::MutexLock lock(&mu_);
    auto group = groups_.find(path);
    if (group == groups_.end()) return Missing(path);
    auto over = [](auto& old, const auto& fresh) {
      if (fresh.has_value()) old = fresh;
    };
    over(group->second.limits.memory_bytes, limits.memory_bytes);
    over(group->second.limits.pids_max, limits.pids_max);
    over(group->second.limits.cpu_quota_us, limits.cpu_quota_us);
    over(group->second.limits.cpu_shares, limits.cpu_shares);
    return std::vector<std::string>();
  }
  absl::Status Attach(const std::string& path, pid_t pid) override {
    absl::MutexLock lock(&mu_);
    auto group = groups_.find(path);
    if (group == groups_.end()) return Missing(path);
    for (auto& [name, other] : groups_) other.pids.erase(pid);
    group->second.pids.insert(pid);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<pid_t>> Processes(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    if (!groups_.contains(path)) return Missing(path);
    std::vector<pid_t> pids;
    for (const auto& [name, group] : groups_) {
      if (Below(name, path)) pids.insert(pids.end(), group.pids.begin(), group.pids.end());
    }
    return pids;
  }
  absl::Status Freeze(const std::string& path) override { return SetFrozen(path, true); }
  absl::Status Thaw(const std::string& path) override { return SetFrozen(path, false); }
  absl::StatusOr<bool> IsFrozen(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    auto group = groups_.find(path);
    if (group == groups_.end()) return Missing(path);
    return group->second.frozen;
  }
  absl::Status KillAll(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    if (!groups_.contains(path)) return Missing(path);
    for (auto& [name, group] : groups_) {
      if (Below(name, path)) group.pids.clear();
      if (Below(name, path)) group.frozen = false;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<Stats> ReadStats(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    auto group = groups_.find(path);
    if (group == groups_.end()) return Missing(path);
    Stats stats = group->second.stats;
    stats.pids = group->second.pids.size();
    stats.pids_limit =
        static_cast<uint64_t>(std::max<int64_t>(group->second.limits.pids_max.value_or(0), 0));
    stats.memory_limit_bytes =
        static_cast<uint64_t>(std::max<int64_t>(group->second.limits.memory_bytes.value_or(0), 0));
    return stats;
  }
  absl::StatusOr<uint64_t> ReadOomKills(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    auto group = groups_.find(path);
    if (group == groups_.end()) return Missing(path);
    return group->second.stats.oom_kills;
  }
  absl::StatusOr<UniqueFd> WatchOom(const std::string&) override {
    return absl::UnimplementedError("the fake has no kernel to watch");
  }
  absl::Status Delete(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    for (const auto& [name, group] : groups_) {
      if (Below(name, path) && !group.pids.empty()) {
        return absl::FailedPreconditionError(absl::StrCat("cgroup ", name, ": it has processes"));
      }
    }
    std::erase_if(groups_, [&](const auto& entry) { return Below(entry.first, path); });
    return absl::OkStatus();
  }
  bool Exists(const std::string& path) override {
    absl::MutexLock lock(&mu_);
    return groups_.contains(path);
  }
  absl::StatusOr<UniqueFd> OpenDirectory(const std::string&) override {
    return absl::UnimplementedError("the fake has no directories");
  }

  // For tests: what ReadStats answers from now on (pids and limits are the fake's own).
  void SetStats(const std::string& path, Stats stats) {
    absl::MutexLock lock(&mu_);
    groups_[path].stats = std::move(stats);
  }

 private:
  struct Group {
    Limits limits;
    std::set<pid_t> pids;
    bool frozen = false;
    Stats stats;
  };

  static bool Below(const std::string& name, const std::string& path) {
    return name == path || absl::StartsWith(name, path + "/");
  }
  static absl::Status Missing(const std::string& path) {
    return absl::NotFoundError(absl::StrCat("cgroup ", path, ": does not exist"));
  }
  absl::Status SetFrozen(const std::string& path, bool frozen) {
    absl::MutexLock lock(&mu_);
    auto group = groups_.find(path);
    if (group == groups_.end()) return Missing(path);
    group->second.frozen = frozen;
    return absl::OkStatus();
  }

  absl::Mutex mu_;
  std::map<std::string, Group> groups_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::cgroup
