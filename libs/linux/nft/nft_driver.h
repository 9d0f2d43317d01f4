// Darse's own nftables table: address translation for published ports and outbound traffic, and
// isolation of networks.
//
// Ports are map elements, so that adding one costs the same with one or a thousand. Every verb is
// one atomic transaction in the kernel. firewall_rules.h holds the rules and says how they meet
// those of others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::nft {

struct FirewallNetwork {
  // The bridge's name.
  std::string interface;
  // "10.89.3.0/24".
  std::string subnet;
  // No way out or in.
  bool internal = false;

  auto operator<=>(const FirewallNetwork&) const = default;
};

// Packets to host_ip:host_port go to address:port.
struct FirewallPort {
  // Empty: all addresses of the host.
  std::string host_ip;
  uint16_t host_port = 0;
  // "tcp" or "udp".
  std::string protocol;
  std::string address;
  uint16_t port = 0;

  auto operator<=>(const FirewallPort&) const = default;
};

// Thread-safe.
class NftDriver {
 public:
  virtual ~NftDriver() = default;

  // Replaces the whole table.
  virtual absl::Status Replace(const std::vector<FirewallNetwork>& networks,
                               const std::vector<FirewallPort>& ports) = 0;
  virtual absl::Status AddNetwork(const FirewallNetwork& network) = 0;
  // OK if it is not there; also for ports.
  virtual absl::Status RemoveNetwork(const FirewallNetwork& network) = 0;
  // All or none; replaces an element with the same host side.
  virtual absl::Status AddPorts(const std::vector<FirewallPort>& ports) = 0;
  virtual absl::Status RemovePorts(const std::vector<FirewallPort>& ports) = 0;
  // Writes the table again if somebody removed it ("nft flush ruleset", a firewall's reload).
  virtual absl::Status EnsureTable() = 0;
  // Chains of other tables that drop forwarded packets which none of their rules accepts: "ip
  // filter FORWARD".
  virtual absl::StatusOr<std::vector<std::string>> ForwardDrops() = 0;
  // OK if there is none.
  virtual absl::Status DeleteTable() = 0;
};

}  // namespace darse::nft
