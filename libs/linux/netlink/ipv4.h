// IPv4 addresses and prefixes as values.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::netlink {

struct Ipv4 {
  // Host order, so that addresses can be counted.
  uint32_t bits = 0;

  // INVALID_ARGUMENT unless `text` is four decimal numbers.
  static absl::StatusOr<Ipv4> Parse(absl::string_view text);
  std::string ToString() const;
  auto operator<=>(const Ipv4&) const = default;
};

// An address with the length of its network: "10.89.3.1/24".
struct Ipv4Prefix {
  Ipv4 address;
  int length = 32;

  static absl::StatusOr<Ipv4Prefix> Parse(absl::string_view text);
  std::string ToString() const;
  uint32_t Mask() const { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }
  // All host bits zero.
  Ipv4 Network() const { return {address.bits & Mask()}; }
  Ipv4 Broadcast() const { return {address.bits | ~Mask()}; }
  bool Contains(Ipv4 other) const { return (other.bits & Mask()) == Network().bits; }
  bool Overlaps(const Ipv4Prefix& other) const {
    return Contains(other.Network()) || other.Contains(Network());
  }
  bool operator==(const Ipv4Prefix&) const = default;
};

}  // namespace darse::netlink
