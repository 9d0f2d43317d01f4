// A container as the runtime last told it: what is needed to sample it and to say whose it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace darse::metrics {

struct KnownContainer {
  std::string id;
  // The identity that its curves go by: "stack/service/slot", else its name. Stays when a service's
  // container is made anew.
  std::string subject;
  std::string name, image, stack, service;
  // "running", "exited", …; "", "starting", "healthy", "unhealthy".
  std::string state, health;
  absl::Time start_time = absl::UnixEpoch();
  int restart_count = 0;
  // Below each controller's mount; empty before the first start.
  std::string cgroup_path;
  int64_t pid = 0;
  // What it sends and receives is the host's.
  bool host_network = false;
  // The host's ends of its veths.
  std::vector<std::string> host_interfaces;

  bool operator==(const KnownContainer&) const = default;
};

}  // namespace darse::metrics
