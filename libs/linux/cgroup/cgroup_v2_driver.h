// cgroup v2, the unified hierarchy.
#pragma once

#include <string>
#include <vector>

#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::cgroup {

// Thread-safe.
class CgroupV2Driver final : public CgroupDriver {
 public:
  explicit CgroupV2Driver(std::string mount) : mount_(std::move(mount)) {}

  absl::string_view Mode() const override { return "v2"; }
  absl::Status Create(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> Apply(const std::string& path,
                                                 const Limits& limits) override;
  absl::Status Attach(const std::string& path, pid_t pid) override;
  absl::StatusOr<std::vector<pid_t>> Processes(const std::string& path) override;
  absl::Status Freeze(const std::string& path) override;
  absl::Status Thaw(const std::string& path) override;
  absl::StatusOr<bool> IsFrozen(const std::string& path) override;
  absl::Status KillAll(const std::string& path) override;
  absl::StatusOr<Stats> ReadStats(const std::string& path) override;
  absl::StatusOr<uint64_t> ReadOomKills(const std::string& path) override;
  absl::StatusOr<UniqueFd> WatchOom(const std::string& path) override;
  absl::Status Delete(const std::string& path) override;
  bool Exists(const std::string& path) override;
  absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) override;

 private:
  std::string File(const std::string& path, absl::string_view file) const;
  absl::Status SetFrozen(const std::string& path, bool frozen);

  const std::string mount_;
};

// One file to write, in order.
struct V2Setting {
  std::string file;
  std::string value;

  bool operator==(const V2Setting&) const = default;
};
// Pure: what `limits` come to in v2's files.
absl::StatusOr<std::vector<V2Setting>> PlanV2(const Limits& limits);

}  // namespace darse::cgroup
