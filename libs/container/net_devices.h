// linux.netDevices: interfaces of the host that become the container's, with their permanent global
// addresses, and up. Speaks rtnetlink itself: what is linked statically has no library for it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/container/config/spec.h"

namespace darse::container {

struct InterfaceAddress {
  int family = 0;  // AF_INET, AF_INET6
  int prefix_length = 0;
  std::string bytes;      // in network order
  std::string broadcast;  // likewise; IPv4, may be empty

  bool operator==(const InterfaceAddress&) const = default;
};

struct MovingInterface {
  int index = 0;  // here
  std::string name, new_name;
  std::vector<InterfaceAddress> addresses;
};

// Before the clone. NOT_FOUND names the interface that this host does not have.
absl::StatusOr<std::vector<MovingInterface>> FindInterfaces(const std::vector<NetDevice>& wanted);
// By the starter: into the network namespace that `network_namespace` (an fd) is of.
absl::Status MoveInterfaces(const std::vector<MovingInterface>& interfaces, int network_namespace);
// Inside: addresses, and up.
absl::Status SetUpInterfaces(const std::vector<MovingInterface>& interfaces);

}  // namespace darse::container
