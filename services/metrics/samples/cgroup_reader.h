// Reads one container's cgroup through descriptors that stay open: a tenth of the cost of opening
// the files anew each second.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/metrics/samples/counters.h"

namespace darse::metrics {

// Where the controllers are mounted; an empty place means that the host has none.
struct CgroupMounts {
  // v1.
  std::string cpu, cpuacct, memory, blkio, pids;
  // v2; used where `cpuacct` is empty.
  std::string unified;
};
// From /proc/self/mountinfo's text.
CgroupMounts FindCgroupMounts(absl::string_view mountinfo);

// One thread only.
class CgroupReader {
 public:
  virtual ~CgroupReader() = default;
  // NOT_FOUND when the cgroup is not there (any more); a later one of the same path is found.
  virtual absl::StatusOr<CgroupCounters> Read() = 0;

  static std::unique_ptr<CgroupReader> ForPath(const CgroupMounts& mounts,
                                               absl::string_view cgroup_path);
};

}  // namespace darse::metrics
