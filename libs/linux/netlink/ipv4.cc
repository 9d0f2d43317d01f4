#include "libs/linux/netlink/ipv4.h"

#include <arpa/inet.h>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::netlink {

absl::StatusOr<Ipv4> Ipv4::Parse(absl::string_view text) {
  in_addr parsed;
  if (inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an IPv4 address"));
  }
  return Ipv4{ntohl(parsed.s_addr)};
}

std::string Ipv4::ToString() const {
  return absl::StrCat(bits >> 24, ".", bits >> 16 & 255, ".", bits >> 8 & 255, ".", bits & 255);
}

absl::StatusOr<Ipv4Prefix> Ipv4Prefix::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  Ipv4Prefix prefix;
  if (slash == absl::string_view::npos ||
      !absl::SimpleAtoi(text.substr(slash + 1), &prefix.length) || prefix.length < 0 ||
      prefix.length > 32) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not an IPv4 prefix such as 10.89.0.0/16"));
  }
  ASSIGN_OR_RETURN(prefix.address, Ipv4::Parse(text.substr(0, slash)));
  return prefix;
}

std::string Ipv4Prefix::ToString() const { return absl::StrCat(address.ToString(), "/", length); }

}  // namespace darse::netlink
