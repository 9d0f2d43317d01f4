// cgroup v1, alone or with cgroup2 beside it (hybrid). In hybrid mode the cgroup exists in the v2
// hierarchy too: that is where processes are killed all at once (cgroup.kill).
#pragma once

#include <string>
#include <vector>

#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::cgroup {

// Thread-safe.
class CgroupV1Driver final : public CgroupDriver {
 public:
  explicit CgroupV1Driver(Hierarchies hierarchies);

  absl::string_view Mode() const override { return hierarchies_.v2.empty() ? "v1" : "hybrid"; }
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
  bool Has(const std::string& controller) const { return hierarchies_.v1.contains(controller); }
  std::string File(const std::string& controller, const std::string& path,
                   absl::string_view file) const;
  absl::Status FillCpuset(const std::string& path) const;
  absl::Status SetFreezer(const std::string& path, absl::string_view state);
  absl::Status ApplyMemory(const std::string& path, const Limits& limits,
                           std::vector<std::string>& warnings);
  absl::Status ApplyCpu(const std::string& path, const Limits& limits,
                        std::vector<std::string>& warnings);
  absl::Status ApplyBlockWeights(const std::string& path, const Limits& limits,
                                 std::vector<std::string>& warnings);
  absl::Status ApplyRest(const std::string& path, const Limits& limits,
                         std::vector<std::string>& warnings);
  absl::Status ApplyDevices(const std::string& path, const std::vector<DeviceRule>& rules);

  const Hierarchies hierarchies_;
  // Each mount once (cpu and cpuacct are often one), v2's last.
  std::vector<std::string> mounts_;
};

}  // namespace darse::cgroup
