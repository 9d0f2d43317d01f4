#include "services/metrics/samples/sampler.h"

#include <utility>

namespace darse::metrics {

SampledFrame Sampler::Sample(absl::Time time, absl::Duration monotonic,
                             const std::vector<KnownContainer>& containers) {
  Reading now{.time = time, .monotonic = monotonic, .host = host_.Read()};
  std::map<std::string, Opened> readers;
  for (const KnownContainer& container : containers) {
    if (container.cgroup_path.empty()) continue;
    Opened opened;
    auto found = readers_.find(container.id);
    if (found != readers_.end() && found->second.path == container.cgroup_path) {
      opened = std::move(found->second);
    } else {
      opened = {container.cgroup_path, CgroupReader::ForPath(mounts_, container.cgroup_path)};
    }
    absl::StatusOr<CgroupCounters> counters = opened.reader->Read();
    readers[container.id] = std::move(opened);
    // A cgroup without processes is what is left of a container that exited.
    bool counts_pids = !mounts_.pids.empty() || mounts_.cpuacct.empty();
    if (!counters.ok() || (counts_pids && counters->pids == 0)) continue;
    now.containers.push_back({container, {*std::move(counters), NetworkOf(container)}});
  }
  // Readers of containers that are gone close their files here.
  readers_ = std::move(readers);
  SampledFrame frame = MakeFrame(last_, std::move(now));
  last_ = frame.reading;
  return frame;
}

InterfaceBytes Sampler::NetworkOf(const KnownContainer& container) const {
  InterfaceBytes bytes;
  if (container.host_network) return bytes;
  bool all_found = !container.host_interfaces.empty();
  for (const std::string& name : container.host_interfaces) {
    auto found = host_.interfaces().find(name);
    all_found = all_found && found != host_.interfaces().end();
    if (found == host_.interfaces().end()) continue;
    // What the host's end receives, the container sent.
    bytes.received += found->second.transmitted;
    bytes.transmitted += found->second.received;
  }
  if (all_found || container.pid <= 0) return bytes;
  return host_.NetworkOfProcess(container.pid);
}

}  // namespace darse::metrics
