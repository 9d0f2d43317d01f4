#include "services/runtime/networks/address_plan.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

using netlink::Ipv4;
using netlink::Ipv4Prefix;

constexpr int kNetworkLength = 24;
constexpr int kDefaultNetworkLength = 20;
constexpr size_t kInterfaceNameSize = 15;
constexpr size_t kMostDigits = 8;

// The same for bridges and veths, so that a name tells by its length which prefix it has.
size_t Digits(absl::string_view prefix) {
  return std::min(kMostDigits, kInterfaceNameSize - 1 - prefix.size());
}

bool AllHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

}  // namespace

int SubnetLength(const Ipv4Prefix& pool, bool is_default) {
  if (!is_default) return kNetworkLength;
  return std::clamp(pool.length + 4, kDefaultNetworkLength, kNetworkLength);
}

absl::StatusOr<Ipv4Prefix> ChooseSubnet(const Ipv4Prefix& pool, int wanted_length,
                                        const std::vector<Ipv4Prefix>& taken) {
  const int length = std::max(pool.length, wanted_length);
  const uint64_t size = uint64_t{1} << (32 - length);
  const uint64_t end = uint64_t{pool.Broadcast().bits} + 1;
  for (uint64_t start = pool.Network().bits; start < end; start += size) {
    const Ipv4Prefix subnet{{static_cast<uint32_t>(start)}, length};
    if (std::none_of(taken.begin(), taken.end(),
                     [&](const Ipv4Prefix& other) { return other.Overlaps(subnet); })) {
      return subnet;
    }
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("no free /", length, " is left in the address pool ", pool.ToString(),
                   ": delete unused networks or set network.pool to a larger one"));
}

absl::Status CheckSubnet(const Ipv4Prefix& subnet) {
  if (subnet.address != subnet.Network()) {
    return absl::InvalidArgumentError(
        absl::StrCat("subnet ", subnet.ToString(), " has host bits: the network is ",
                     Ipv4Prefix{subnet.Network(), subnet.length}.ToString()));
  }
  if (subnet.length < 8 || subnet.length > 29) {
    return absl::InvalidArgumentError(
        absl::StrCat("subnet ", subnet.ToString(), " must be from /8 to /29"));
  }
  return absl::OkStatus();
}

Ipv4 GatewayOf(const Ipv4Prefix& subnet) { return {subnet.Network().bits + 1}; }

absl::StatusOr<Ipv4> ChooseAddress(const Ipv4Prefix& subnet, const std::vector<Ipv4>& taken,
                                   absl::string_view wanted) {
  if (!wanted.empty()) {
    ASSIGN_OR_RETURN(const Ipv4 address, Ipv4::Parse(wanted));
    if (!subnet.Contains(address) || address == subnet.Network() || address == subnet.Broadcast() ||
        address == GatewayOf(subnet)) {
      return absl::InvalidArgumentError(
          absl::StrCat("address ", wanted, " is not one for a container of ", subnet.ToString()));
    }
    if (std::binary_search(taken.begin(), taken.end(), address)) {
      return WithReason(absl::FailedPreconditionError(
                            absl::StrCat("address ", wanted, " belongs to another container")),
                        "ADDRESS_IN_USE");
    }
    return address;
  }
  auto next = taken.begin();
  for (uint32_t bits = GatewayOf(subnet).bits + 1; bits < subnet.Broadcast().bits; ++bits) {
    while (next != taken.end() && next->bits < bits) ++next;
    if (next == taken.end() || next->bits != bits) return Ipv4{bits};
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("all addresses of ", subnet.ToString(), " are taken"));
}

netlink::MacAddress MacOf(Ipv4 address) {
  // Locally administered, unicast.
  return {0x02,
          0x64,
          static_cast<uint8_t>(address.bits >> 24),
          static_cast<uint8_t>(address.bits >> 16),
          static_cast<uint8_t>(address.bits >> 8),
          static_cast<uint8_t>(address.bits)};
}

std::string BridgeName(absl::string_view prefix, absl::string_view network_id) {
  return absl::StrCat(prefix, network_id.substr(0, Digits(prefix)));
}

std::string VethName(absl::string_view prefix, absl::string_view container_id, int64_t generation,
                     int position) {
  // FNV-1a: a new name at each start, since the old veth may still be on its way out.
  uint64_t hash = 14695981039346656037u;
  for (const char c : absl::StrCat(container_id, "/", generation, "/", position)) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  }
  const std::string digits = absl::StrCat(absl::Hex(hash, absl::kZeroPad16));
  return absl::StrCat(prefix, "v", digits.substr(digits.size() - Digits(prefix)));
}

bool IsOwnInterface(absl::string_view prefix, absl::string_view name) {
  if (!absl::StartsWith(name, prefix)) return false;
  absl::string_view rest = name.substr(prefix.size());
  if (rest.size() == Digits(prefix) + 1 && rest.front() == 'v') rest.remove_prefix(1);
  return rest.size() == Digits(prefix) && AllHex(rest);
}

absl::Status CheckBridgePrefix(absl::string_view prefix) {
  const bool known = std::all_of(prefix.begin(), prefix.end(), [](char c) {
    return absl::ascii_isdigit(c) || absl::ascii_islower(c);
  });
  if (prefix.empty() || prefix.size() > 8 || !known) {
    return absl::InvalidArgumentError(absl::StrCat("network.bridge_prefix \"", prefix,
                                                   "\" must be 1 to 8 characters of [a-z0-9]"));
  }
  return absl::OkStatus();
}

}  // namespace darse::runtime
