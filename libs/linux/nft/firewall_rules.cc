#include "libs/linux/nft/firewall_rules.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"

namespace darse::nft {
namespace {

// $0 is the table's name. `add` before `delete` makes the deletion work when there is no table yet.
constexpr char kTable[] = R"(add table ip $0
delete table ip $0
table ip $0 {
  set bridges { type ifname; }
  set internal { type ifname; }
  set same { type ifname . ifname; }
  set subnets { type ipv4_addr; flags interval; }
  set places { type ipv4_addr . ifname; flags interval; }
  map ports_at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  map ports_any { type inet_proto . inet_service : ipv4_addr . inet_service; }

  chain loopback {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname @bridges ip saddr 127.0.0.0/8 drop
  }
  chain publish {
    meta l4proto { tcp, udp } dnat ip to ip daddr . meta l4proto . th dport map @ports_at
    meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @ports_any
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump publish
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . oifname @places masquerade
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    ip saddr @subnets oifname != @bridges masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @same accept
    iifname @internal drop
    oifname @internal drop
    oifname @bridges jump inbound
  }
  chain inbound {
    ct state established,related accept
    ct status dnat accept
    drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname @internal jump internal_input
  }
  chain internal_input {
    ct state established,related accept
    meta l4proto { tcp, udp } th dport 53 accept
    drop
  }
}
)";

}  // namespace

std::string TableCommands(absl::string_view table, const std::vector<FirewallNetwork>& networks,
                          const std::vector<FirewallPort>& ports) {
  std::string commands = absl::Substitute(kTable, table);
  for (const FirewallNetwork& network : networks) {
    commands += NetworkCommands("add", table, network);
  }
  return commands + PortCommands("add", table, ports);
}

std::string DeleteTableCommands(absl::string_view table) {
  return absl::Substitute("add table ip $0\ndelete table ip $0\n", table);
}

std::string NetworkCommands(absl::string_view verb, absl::string_view table,
                            const FirewallNetwork& network) {
  std::string commands = absl::Substitute(
      "$0 element ip $1 bridges { \"$2\" }\n"
      "$0 element ip $1 same { \"$2\" . \"$2\" }\n"
      "$0 element ip $1 places { $3 . \"$2\" }\n",
      verb, table, network.interface, network.subnet);
  if (network.internal) {
    absl::StrAppend(&commands, verb, " element ip ", table, " internal { \"", network.interface,
                    "\" }\n");
  } else {
    absl::StrAppend(&commands, verb, " element ip ", table, " subnets { ", network.subnet, " }\n");
  }
  return commands;
}

std::string PortCommands(absl::string_view verb, absl::string_view table,
                         const std::vector<FirewallPort>& ports) {
  std::string commands;
  for (const FirewallPort& port : ports) {
    const std::string key = absl::StrCat(port.host_ip.empty() ? "" : port.host_ip + " . ",
                                         port.protocol, " . ", port.host_port);
    absl::StrAppend(&commands, verb, " element ip ", table,
                    port.host_ip.empty() ? " ports_any { " : " ports_at { ", key, " : ",
                    port.address, " . ", port.port, " }\n");
  }
  return commands;
}

}  // namespace darse::nft
