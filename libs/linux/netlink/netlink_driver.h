// The kernel's network devices, addresses, routes and namespaces, as far as containers need them.
//
// A container's namespace is removed by dropping its mount: the kernel then reaps the veths in the
// background (deleting a link takes 15 to 40 ms of waiting).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/linux/namespace/id_maps.h"
#include "libs/linux/netlink/ipv4.h"

namespace darse::netlink {

using MacAddress = std::array<uint8_t, 6>;
std::string MacToString(const MacAddress& mac);

struct Link {
  int index = 0;
  std::string name;
  // "bridge", "veth", …; empty for hardware and loopback.
  std::string kind;
  uint32_t mtu = 0;
  // Index of the bridge it is a port of; 0 for none.
  int master = 0;
};

struct Route {
  // 0.0.0.0/0 for a default route.
  Ipv4Prefix destination;
  std::string interface;
};

struct BridgeSpec {
  std::string name;
  // The bridge's own address, with the subnet's length.
  Ipv4Prefix address;
  MacAddress mac;
  uint32_t mtu = 1500;
};

struct VethSpec {
  // On the host, a port of `bridge`.
  std::string host_name;
  std::string bridge;
  // Inside.
  std::string name;
  MacAddress mac;
  Ipv4Prefix address;
  // Of the default route; at most one interface of a namespace has one.
  std::optional<Ipv4> gateway;
};

// A user namespace that is made together with a network namespace.
struct NamespaceOwner {
  // Where it is bind mounted; the directory exists.
  std::string path;
  ns::IdMaps maps;
};

// Thread-safe. Errors carry the kernel's errno as status code and text.
class NetlinkDriver {
 public:
  virtual ~NetlinkDriver() = default;

  virtual absl::StatusOr<std::vector<Link>> Links() = 0;
  // The main table's IPv4 routes.
  virtual absl::StatusOr<std::vector<Route>> Routes() = 0;
  // Makes the bridge, or gives an existing one what it lacks or has otherwise; up, no IPv6, packets
  // to 127.0.0.0/8 may cross it (what may not is the firewall's to say).
  virtual absl::Status EnsureBridge(const BridgeSpec& spec) = 0;
  // OK if there is none.
  virtual absl::Status DeleteLink(absl::string_view name) = 0;

  // Makes a namespace with loopback up, bind mounted at `path`, whose directory exists; with an
  // owner also the user namespace it belongs to. All or nothing. ALREADY_EXISTS if a namespace is
  // mounted at one of the paths.
  virtual absl::Status CreateNamespace(absl::string_view path,
                                       const std::optional<NamespaceOwner>& owner) = 0;
  // Makes the first interface of the namespace at `path` in advance: a pair on no bridge, down.
  virtual absl::Status PrepareInterface(absl::string_view path, absl::string_view host_name,
                                        absl::string_view name) = 0;
  // Puts these interfaces into the namespace at `path`, up, each with its bridge's MTU; the first
  // is the one that was prepared, if one was. NOT_FOUND if a bridge is missing: nothing was done
  // then. After another error some may be there: drop the namespace.
  virtual absl::Status AddInterfaces(absl::string_view path,
                                     const std::vector<VethSpec>& veths) = 0;
  // Unmounts and removes `path`, of a network or a user namespace, which goes with its last
  // process. OK if there is none.
  virtual absl::Status DropNamespace(absl::string_view path) = 0;
  // Names in `directory` at which a namespace is mounted, and leftover files of that purpose.
  virtual absl::StatusOr<std::vector<std::string>> Namespaces(absl::string_view directory) = 0;
  // True if `path` is a mounted namespace.
  virtual bool IsNamespace(absl::string_view path) = 0;

  // Lets the host route IPv4 packets; true if it did not before.
  virtual absl::StatusOr<bool> EnableForwarding() = 0;
};

}  // namespace darse::netlink
