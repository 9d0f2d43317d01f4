// Control groups that systemd makes: each is a transient scope in a slice. systemd is told the
// limits that it knows, so that it does not undo them when it is reloaded; all are then written to
// the kernel, by the driver of this host.
//
// A cgroup is named by its path here too: "system.slice/docker-ab12.scope". Those below a scope are
// the container's own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/systemd/units.h"

namespace darse::cgroup {

// Not thread-safe.
class SystemdCgroupDriver final : public CgroupDriver {
 public:
  using Connect = std::function<absl::StatusOr<std::unique_ptr<systemd::Units>>()>;
  // `connect` is called when systemd is needed first; what only looks, kills or freezes does
  // without.
  SystemdCgroupDriver(std::unique_ptr<CgroupDriver> kernel, Connect connect)
      : kernel_(std::move(kernel)), connect_(std::move(connect)) {}
  ~SystemdCgroupDriver() override;

  // The kernel's.
  absl::string_view Mode() const override { return kernel_->Mode(); }
  absl::StatusOr<std::string> Resolve(absl::string_view cgroups_path,
                                      absl::string_view id) const override;
  // There is no scope without a process: one of ours holds the place until another is attached.
  // When the last has ended systemd takes the scope away, and the other verbs find none.
  absl::Status Create(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> Apply(const std::string& path,
                                                 const Limits& limits) override;
  absl::Status Attach(const std::string& path, pid_t pid) override;
  absl::StatusOr<std::vector<pid_t>> Processes(const std::string& path) override;
  absl::Status Freeze(const std::string& path) override { return kernel_->Freeze(path); }
  absl::Status Thaw(const std::string& path) override { return kernel_->Thaw(path); }
  absl::StatusOr<bool> IsFrozen(const std::string& path) override {
    return kernel_->IsFrozen(path);
  }
  absl::Status KillAll(const std::string& path) override;
  absl::StatusOr<Stats> ReadStats(const std::string& path) override {
    return kernel_->ReadStats(path);
  }
  absl::StatusOr<uint64_t> ReadOomKills(const std::string& path) override {
    return kernel_->ReadOomKills(path);
  }
  absl::StatusOr<UniqueFd> WatchOom(const std::string& path) override {
    return kernel_->WatchOom(path);
  }
  absl::Status Delete(const std::string& path) override;
  bool Exists(const std::string& path) override { return kernel_->Exists(path); }
  // UNIMPLEMENTED: systemd is the one to attach.
  absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) override;

 private:
  void EndPlaceholder(const std::string& path);
  absl::StatusOr<systemd::Units*> Systemd();

  const std::unique_ptr<CgroupDriver> kernel_;
  const Connect connect_;
  std::unique_ptr<systemd::Units> units_;
  std::map<std::string, pid_t> placeholders_;  // by path
};

// The rest is pure.

// "slice:prefix:name" is "prefix-name.scope" in the slice's directory; an empty slice is
// system.slice. INVALID_ARGUMENT for anything else.
absl::StatusOr<std::string> ScopePath(absl::string_view cgroups_path);
// "a-b.slice" is "a.slice/a-b.slice", and "-.slice" is "".
absl::StatusOr<std::string> SlicePath(absl::string_view slice);
// What of `limits` systemd knows, in its names. `v2`: whose values are meant. `proc_devices`:
// /proc/devices.
absl::StatusOr<std::vector<systemd::Property>> PlanProperties(const Limits& limits, bool v2,
                                                              absl::string_view proc_devices);
// "0-2,5", lowest bit first. INVALID_ARGUMENT if it is no such list.
absl::StatusOr<std::vector<uint8_t>> BitsOfList(absl::string_view list);

}  // namespace darse::cgroup
