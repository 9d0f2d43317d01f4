// What the runtime's other nouns see of networks: values, no behaviour.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace darse::runtime {

// A bridge on this node with a subnet of its own. Immutable.
struct Network {
  // 64 hex digits.
  std::string id;
  std::string name;
  // "10.89.3.0/24" and "10.89.3.1".
  std::string subnet;
  std::string gateway;
  // No way out, and none in but from its containers.
  bool internal = false;
  std::map<std::string, std::string> labels;
  absl::Time created_at;
  // Of the bridge, on the host.
  std::string interface;
  // Containers attached to it, running or not; in order.
  std::vector<std::string> container_ids;
};

struct PortMapping {
  // Empty: all IPv4 addresses of the host.
  std::string host_ip;
  // 0: a free one is chosen by Attach.
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  // "tcp" or "udp"; empty is "tcp".
  std::string protocol;

  bool operator==(const PortMapping&) const = default;
};

enum class NetworkMode { kBridge, kNone, kHost, kContainer };

struct NetworkAttachment {
  // Name, id or unique prefix of an id.
  std::string network;
  // Names beside the container's own that resolve to it on this network.
  std::vector<std::string> aliases;
  // Empty: chosen at the first Attach (or Reserve) and kept until Forget.
  std::string ipv4_address;
};

struct AttachRequest {
  // 64 hex digits.
  std::string container_id;
  std::string container_name;
  NetworkMode mode = NetworkMode::kBridge;
  // For kContainer: the id of the running container whose network namespace is joined.
  std::string network_container_id;
  // For kBridge; empty: the default network.
  std::vector<NetworkAttachment> networks;
  // For kBridge.
  std::vector<PortMapping> ports;
  // Name servers asked instead of the host's for names that are not containers'; empty: the host's.
  std::vector<std::string> dns;
  // Search domains; empty: the host's.
  std::vector<std::string> dns_search;
  // For kBridge and kNone: a user namespace is made that the network namespace belongs to. For
  // kContainer that of the other container is used, if it has one.
  bool user_namespace = false;
};

// A container's place on one network.
struct Endpoint {
  std::string network_id;
  std::string network_name;
  std::string ipv4_address;
  uint32_t ipv4_prefix_length = 0;
  std::string gateway;
  std::string mac_address;
  // Of the veth's end on the host; a new name at each Attach.
  std::string host_interface;
  // Inside: eth0, eth1, … in the order of the request.
  std::string container_interface;
  std::vector<std::string> aliases;

  bool operator==(const Endpoint&) const = default;
};

struct AttachedNetwork {
  // <run>/netns/<container id>, a bind mount to be joined by path; for kContainer that of the other
  // container. Empty for the host's own namespace.
  std::string netns_path;
  // <run>/userns/<container id>, in the same way; empty: the host's.
  std::string userns_path;
  // On the host, of the user namespace's 65,536 users and groups.
  uint32_t first_id = 0;
  // Empty unless kBridge.
  std::vector<Endpoint> endpoints;
  // As really published.
  std::vector<PortMapping> ports;
  // Contents for the container's /etc/resolv.conf.
  std::string resolv_conf;
};

}  // namespace darse::runtime
