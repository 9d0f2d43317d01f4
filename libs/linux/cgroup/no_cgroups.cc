#include "libs/linux/cgroup/no_cgroups.h"

#include "absl/strings/str_cat.h"

namespace darse::cgroup {
namespace {

absl::Status Needs(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, ": needs a cgroup, and a rootless container has none"));
}

class None : public CgroupDriver {
 public:
  absl::string_view Mode() const override { return "none"; }
  absl::Status Create(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> Apply(const std::string&,
                                                 const Limits& limits) override {
    Limits without_devices = limits;
    // Nodes cannot be made anyway.
    without_devices.devices.reset();
    if (without_devices != Limits{}) return Needs("linux.resources");
    return std::vector<std::string>();
  }
  absl::Status Attach(const std::string&, pid_t) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<pid_t>> Processes(const std::string&) override {
    return Needs("list processes");
  }
  absl::Status Freeze(const std::string&) override { return Needs("freeze"); }
  absl::Status Thaw(const std::string&) override { return Needs("thaw"); }
  absl::StatusOr<bool> IsFrozen(const std::string&) override { return false; }
  absl::Status KillAll(const std::string&) override { return Needs("kill all"); }
  absl::StatusOr<Stats> ReadStats(const std::string&) override { return Needs("statistics"); }
  absl::StatusOr<uint64_t> ReadOomKills(const std::string&) override { return uint64_t{0}; }
  absl::StatusOr<UniqueFd> WatchOom(const std::string&) override { return Needs("watch memory"); }
  absl::Status Delete(const std::string&) override { return absl::OkStatus(); }
  bool Exists(const std::string&) override { return true; }
  absl::StatusOr<UniqueFd> OpenDirectory(const std::string&) override {
    return absl::UnimplementedError("no cgroups");
  }
};

}  // namespace

std::unique_ptr<CgroupDriver> NoCgroups() { return std::make_unique<None>(); }

}  // namespace darse::cgroup
