// Which subnet a network gets and which address a container. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/linux/netlink/ipv4.h"
#include "libs/linux/netlink/netlink_driver.h"

namespace darse::runtime {

// Prefix length of a network: a /24, and for the default one, which every container without a
// network of its own is on, a sixteenth of the pool as far as that is more, at most a /20.
int SubnetLength(const netlink::Ipv4Prefix& pool, bool is_default);
// The first subnet of that length of the pool (or the whole pool, if it is smaller) that overlaps
// none of `taken`. RESOURCE_EXHAUSTED if there is none.
absl::StatusOr<netlink::Ipv4Prefix> ChooseSubnet(const netlink::Ipv4Prefix& pool, int length,
                                                 const std::vector<netlink::Ipv4Prefix>& taken);
// INVALID_ARGUMENT unless it is a network of at least two hosts besides its gateway and of at most
// 2^24.
absl::Status CheckSubnet(const netlink::Ipv4Prefix& subnet);
// The first host of a subnet.
netlink::Ipv4 GatewayOf(const netlink::Ipv4Prefix& subnet);

// `wanted`, or with an empty text the lowest address that is not in `taken` (in order).
// FAILED_PRECONDITION (ADDRESS_IN_USE) if the wanted one is taken, RESOURCE_EXHAUSTED if all are.
absl::StatusOr<netlink::Ipv4> ChooseAddress(const netlink::Ipv4Prefix& subnet,
                                            const std::vector<netlink::Ipv4>& taken,
                                            absl::string_view wanted);
// Follows from the address, so that neighbours' caches stay true when a container is restarted.
netlink::MacAddress MacOf(netlink::Ipv4 address);

// Names of interfaces: <prefix><hex> for a bridge, <prefix>v<hex> for the host's end of a veth, 15
// characters at most.
std::string BridgeName(absl::string_view prefix, absl::string_view network_id);
std::string VethName(absl::string_view prefix, absl::string_view container_id, int64_t generation,
                     int position);
// True for the names above of this very prefix.
bool IsOwnInterface(absl::string_view prefix, absl::string_view name);
absl::Status CheckBridgePrefix(absl::string_view prefix);

}  // namespace darse::runtime
