#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/cgroup/cgroup_files.h"
#include "libs/linux/cgroup/cgroup_v1_driver.h"
#include "libs/linux/cgroup/cgroup_v2_driver.h"

namespace darse::cgroup {

uint64_t WorkingSet(const Stats& stats) {
  return stats.memory_usage_bytes -
         std::min(stats.memory_usage_bytes, stats.memory_inactive_file_bytes);
}

Hierarchies ParseMountInfo(absl::string_view mountinfo) {
  static constexpr absl::string_view kControllers[] = {
      "blkio",  "cpu",     "cpuacct",  "cpuset",     "devices", "freezer", "hugetlb",
      "memory", "net_cls", "net_prio", "perf_event", "pids",    "rdma",    "name=systemd"};
  Hierarchies found;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    std::vector<absl::string_view> mount = absl::StrSplit(halves.first, ' ');
    std::vector<absl::string_view> source = absl::StrSplit(halves.second, ' ');
    if (mount.size() < 5 || source.size() < 3) continue;
    std::string where(mount[4]);
    if (source[0] == "cgroup2" && found.v2.empty()) found.v2 = where;
    if (source[0] != "cgroup") continue;
    for (absl::string_view option : absl::StrSplit(source[2], ',')) {
      bool known = std::find(std::begin(kControllers), std::end(kControllers), option) !=
                   std::end(kControllers);
      if (known) found.v1.emplace(option, where);
    }
  }
  return found;
}

absl::StatusOr<Hierarchies> FindHierarchies() {
  static const auto& found = *new absl::StatusOr<Hierarchies>([]() -> absl::StatusOr<Hierarchies> {
    ASSIGN_OR_RETURN(std::string mountinfo, ReadFile("/proc/self/mountinfo"));
    return ParseMountInfo(mountinfo);
  }());
  return found;
}

absl::StatusOr<std::unique_ptr<CgroupDriver>> OpenHostCgroups() {
  ASSIGN_OR_RETURN(Hierarchies found, FindHierarchies());
  // systemd's own hierarchy alone does not make a v1 host.
  Hierarchies without_systemd = found;
  without_systemd.v1.erase("name=systemd");
  if (!without_systemd.v1.empty()) return std::make_unique<CgroupV1Driver>(without_systemd);
  if (!found.v2.empty()) return std::make_unique<CgroupV2Driver>(found.v2);
  return absl::UnimplementedError("cgroups: none are mounted on this host");
}

absl::Status ApplyAll(CgroupDriver& driver, const std::string& path, const Limits& limits) {
  ASSIGN_OR_RETURN(std::vector<std::string> missing, driver.Apply(path, limits));
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("linux.resources: ", absl::StrJoin(missing, "; ")));
}

absl::StatusOr<std::string> CgroupDriver::Resolve(absl::string_view cgroups_path,
                                                  absl::string_view id) const {
  return NormalizePath(cgroups_path.empty() ? absl::StrCat("darse/", id)
                                            : std::string(cgroups_path));
}

absl::StatusOr<std::string> NormalizePath(absl::string_view path) {
  std::string normal;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == "." || part == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("cgroup path \"", path, "\": has a \"", part, "\""));
    }
    absl::StrAppend(&normal, normal.empty() ? "" : "/", part);
  }
  if (normal.empty()) return absl::InvalidArgumentError("cgroup path: empty");
  return normal;
}

}  // namespace darse::cgroup
