// Reads the kernel once for a set of containers; keeps what it needs for the next time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/metrics/containers/known_container.h"
#include "services/metrics/samples/cgroup_reader.h"
#include "services/metrics/samples/frame.h"
#include "services/metrics/samples/host_reader.h"

namespace darse::metrics {

// One thread only.
class Sampler {
 public:
  Sampler(CgroupMounts mounts, HostReader host)
      : mounts_(std::move(mounts)), host_(std::move(host)) {}

  // Containers without processes, whatever the runtime last said of them, are left out.
  SampledFrame Sample(absl::Time time, absl::Duration monotonic,
                      const std::vector<KnownContainer>& containers);

 private:
  InterfaceBytes NetworkOf(const KnownContainer& container) const;

  struct Opened {
    std::string path;
    std::unique_ptr<CgroupReader> reader;
  };
  const CgroupMounts mounts_;
  HostReader host_;
  // By container id.
  std::map<std::string, Opened> readers_;
  Reading last_;
};

}  // namespace darse::metrics
