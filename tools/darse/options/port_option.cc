#include "tools/darse/options/port_option.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::client {
namespace {

using darse::runtime::v1::PortMapping;

struct Range {
  uint32_t first = 0;
  uint32_t last = 0;
};

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("port \"", text, "\": ", why, "; write -p HOST:CONTAINER, as in -p 8080:80"));
}

absl::StatusOr<Range> ParseRange(absl::string_view whole, absl::string_view text) {
  const size_t dash = text.find('-');
  Range range;
  if (!absl::SimpleAtoi(text.substr(0, dash), &range.first)) {
    return Bad(whole, absl::StrCat("\"", text, "\" is no port"));
  }
  range.last = range.first;
  if (dash != absl::string_view::npos && !absl::SimpleAtoi(text.substr(dash + 1), &range.last)) {
    return Bad(whole, absl::StrCat("\"", text, "\" is no range of ports"));
  }
  if (range.first < 1 || range.last > 65535 || range.last < range.first) {
    return Bad(whole, absl::StrCat("\"", text, "\" is not within 1-65535"));
  }
  return range;
}

}  // namespace

absl::StatusOr<std::vector<PortMapping>> ParsePorts(absl::string_view text) {
  absl::string_view rest = text;
  std::string protocol = "tcp";
  if (size_t slash = rest.rfind('/'); slash != absl::string_view::npos) {
    protocol = std::string(rest.substr(slash + 1));
    rest = rest.substr(0, slash);
    if (protocol != "tcp" && protocol != "udp") {
      return Bad(text, absl::StrCat("protocol \"", protocol, "\" is neither tcp nor udp"));
    }
  }
  std::string host_ip;
  absl::string_view host;
  if (size_t colon = rest.rfind(':'); colon != absl::string_view::npos) {
    host = rest.substr(0, colon);
    rest = rest.substr(colon + 1);
    if (size_t second = host.rfind(':');
        second != absl::string_view::npos && !absl::EndsWith(host, "]")) {
      absl::string_view ip = host.substr(0, second);
      host = host.substr(second + 1);
      if (absl::StartsWith(ip, "[") && absl::EndsWith(ip, "]")) ip = ip.substr(1, ip.size() - 2);
      if (ip.empty()) return Bad(text, "there is nothing before the first colon");
      host_ip = std::string(ip);
    }
  }
  ASSIGN_OR_RETURN(Range inside, ParseRange(text, rest));
  Range outside;
  if (!host.empty() && host != "0") {
    ASSIGN_OR_RETURN(outside, ParseRange(text, host));
    if (outside.last - outside.first != inside.last - inside.first) {
      return Bad(text, "the two ranges differ in length");
    }
  }
  std::vector<PortMapping> ports;
  for (uint32_t port = inside.first; port <= inside.last; ++port) {
    PortMapping& made = ports.emplace_back();
    made.set_host_ip(host_ip);
    made.set_host_port(outside.first == 0 ? 0 : outside.first + (port - inside.first));
    made.set_container_port(port);
    made.set_protocol(protocol);
  }
  return ports;
}

std::string PortText(const PortMapping& port) {
  const std::string inside = absl::StrCat(port.container_port(), "/", port.protocol());
  const bool v6 = absl::StrContains(port.host_ip(), ":");
  const std::string ip = port.host_ip().empty() ? "0.0.0.0"
                         : v6                   ? absl::StrCat("[", port.host_ip(), "]")
                                                : port.host_ip();
  return absl::StrCat(ip, ":", port.host_port(), "->", inside);
}

}  // namespace darse::client
