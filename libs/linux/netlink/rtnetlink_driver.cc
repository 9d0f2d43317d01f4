#include "libs/linux/netlink/rtnetlink_driver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/netlink/net_namespace.h"
#include "libs/linux/netlink/route_socket.h"

namespace darse::netlink {
namespace {

// The kernel numbers loopback 1 in each namespace; we choose the rest.
constexpr int kLoopback = 1;
constexpr int kFirstVeth = 2;

int IndexOf(absl::string_view name) { return if_nametoindex(std::string(name).c_str()); }

absl::Status WriteFile(const std::string& path, absl::string_view value) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || write(fd.get(), value.data(), value.size()) < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("writing ", path));
  }
  return absl::OkStatus();
}

Link ToLink(const nlmsghdr* header) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  Link link{.index = info->ifi_index};
  ForEachAttribute(header, sizeof(*info), [&link](const nlattr* attr) {
    switch (mnl_attr_get_type(attr)) {
      case IFLA_IFNAME:
        link.name = mnl_attr_get_str(attr);
        break;
      case IFLA_MTU:
        link.mtu = mnl_attr_get_u32(attr);
        break;
      case IFLA_MASTER:
        link.master = static_cast<int>(mnl_attr_get_u32(attr));
        break;
      case IFLA_LINKINFO:
        ForEachNested(attr, [&link](const nlattr* part) {
          if (mnl_attr_get_type(part) == IFLA_INFO_KIND) link.kind = mnl_attr_get_str(part);
        });
        break;
    }
  });
  return link;
}

absl::Status AddAddress(RouteSocket& socket, int index, const Ipv4Prefix& address) {
  RouteMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  auto* fixed = message.Extra<ifaddrmsg>();
  fixed->ifa_family = AF_INET;
  fixed->ifa_prefixlen = address.length;
  fixed->ifa_index = index;
  message.U32(IFA_LOCAL, htonl(address.address.bits));
  message.U32(IFA_ADDRESS, htonl(address.address.bits));
  message.U32(IFA_BROADCAST, htonl(address.Broadcast().bits));
  return socket.Run(message, absl::StrCat("adding address ", address.ToString()));
}

// A change of the interface that sets it up too.
RouteMessage Upping(int index) {
  RouteMessage message(RTM_NEWLINK, 0);
  auto* fixed = message.Extra<ifinfomsg>();
  fixed->ifi_index = index;
  fixed->ifi_flags = IFF_UP;
  fixed->ifi_change = IFF_UP;
  return message;
}

absl::Status SetUp(RouteSocket& socket, int index) {
  RouteMessage message = Upping(index);
  return socket.Run(message, "setting an interface up");
}

absl::StatusOr<uint32_t> MtuOf(absl::string_view name) {
  ifreq request = {};
  if (name.size() >= sizeof(request.ifr_name)) return absl::NotFoundError(name);
  name.copy(request.ifr_name, name.size());
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() || ioctl(socket.get(), SIOCGIFMTU, &request) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("reading the MTU of ", name));
  }
  return request.ifr_mtu;
}

absl::Status AddDefaultRoute(RouteSocket& socket, int index, Ipv4 gateway) {
  RouteMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  auto* fixed = message.Extra<rtmsg>();
  fixed->rtm_family = AF_INET;
  fixed->rtm_table = RT_TABLE_MAIN;
  fixed->rtm_protocol = RTPROT_STATIC;
  fixed->rtm_scope = RT_SCOPE_UNIVERSE;
  fixed->rtm_type = RTN_UNICAST;
  message.U32(RTA_GATEWAY, htonl(gateway.bits));
  message.U32(RTA_OIF, index);
  return socket.Run(message, absl::StrCat("adding the default route by ", gateway.ToString()));
}

// Down, with its inner end in the namespace.
absl::Status MakeVeth(RouteSocket& host, absl::string_view host_name, absl::string_view name,
                      int netns_fd, int inner_index) {
  RouteMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Extra<ifinfomsg>();
  message.Text(IFLA_IFNAME, host_name);
  message.Nest(IFLA_LINKINFO, [&] {
    message.Text(IFLA_INFO_KIND, "veth");
    message.Nest(IFLA_INFO_DATA, [&] {
      message.Nest(VETH_INFO_PEER, [&] {
        message.Extra<ifinfomsg>()->ifi_index = inner_index;
        message.Text(IFLA_IFNAME, name);
        message.U32(IFLA_NET_NS_FD, netns_fd);
      });
    });
  });
  return host.Run(message, absl::StrCat("making veth ", host_name));
}

// The outer end becomes a port of the bridge, the inner one gets its addresses.
absl::Status ConnectVeth(RouteSocket& host, RouteSocket& inside, const VethSpec& spec,
                         int inner_index) {
  ASSIGN_OR_RETURN(const uint32_t mtu, MtuOf(spec.bridge));
  RETURN_IF_ERROR(AddAddress(inside, inner_index, spec.address));
  RouteMessage inner = Upping(inner_index);
  inner.Bytes(IFLA_ADDRESS, spec.mac.data(), spec.mac.size());
  inner.U32(IFLA_MTU, mtu);
  RETURN_IF_ERROR(inside.Run(inner, absl::StrCat("setting ", spec.name, " up")));

  const int outer_index = IndexOf(spec.host_name);
  RouteMessage outer = Upping(outer_index);
  outer.U32(IFLA_MTU, mtu);
  outer.U32(IFLA_MASTER, IndexOf(spec.bridge));
  RETURN_IF_ERROR(host.Run(outer, absl::StrCat("putting ", spec.host_name, " on ", spec.bridge)));
  if (spec.gateway) RETURN_IF_ERROR(AddDefaultRoute(inside, inner_index, *spec.gateway));

  // With br_netfilter, what a container sends to its own published port turns round inside the
  // bridge.
  RouteMessage hairpin(RTM_SETLINK, 0);
  auto* port = hairpin.Extra<ifinfomsg>();
  port->ifi_family = AF_BRIDGE;
  port->ifi_index = outer_index;
  hairpin.Nest(IFLA_PROTINFO | NLA_F_NESTED, [&] { hairpin.U8(IFLA_BRPORT_MODE, 1); });
  return host.Run(hairpin, absl::StrCat("setting hairpin mode of ", spec.host_name));
}

}  // namespace

absl::StatusOr<std::vector<Link>> RtnetlinkDriver::Links() {
  ASSIGN_OR_RETURN(RouteSocket socket, RouteSocket::Open());
  RouteMessage message(RTM_GETLINK, NLM_F_DUMP);
  message.Extra<ifinfomsg>();
  std::vector<Link> links;
  RETURN_IF_ERROR(socket.Dump(message, "listing interfaces", [&](const nlmsghdr* header) {
    if (header->nlmsg_type == RTM_NEWLINK) links.push_back(ToLink(header));
  }));
  return links;
}

absl::StatusOr<std::vector<Route>> RtnetlinkDriver::Routes() {
  ASSIGN_OR_RETURN(RouteSocket socket, RouteSocket::Open());
  RouteMessage message(RTM_GETROUTE, NLM_F_DUMP);
  message.Extra<rtmsg>()->rtm_family = AF_INET;
  std::vector<Route> routes;
  RETURN_IF_ERROR(socket.Dump(message, "listing routes", [&](const nlmsghdr* header) {
    const auto* fixed = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(header));
    if (header->nlmsg_type != RTM_NEWROUTE || fixed->rtm_table != RT_TABLE_MAIN) return;
    Route route{.destination = {{0}, fixed->rtm_dst_len}};
    ForEachAttribute(header, sizeof(*fixed), [&route](const nlattr* attr) {
      if (mnl_attr_get_type(attr) == RTA_DST) {
        route.destination.address.bits = ntohl(mnl_attr_get_u32(attr));
      } else if (mnl_attr_get_type(attr) == RTA_OIF) {
        char name[IF_NAMESIZE] = "";
        if_indextoname(mnl_attr_get_u32(attr), name);
        route.interface = name;
      }
    });
    routes.push_back(route);
  }));
  return routes;
}

absl::Status RtnetlinkDriver::EnsureBridge(const BridgeSpec& spec) {
  ASSIGN_OR_RETURN(RouteSocket socket, RouteSocket::Open());
  RouteMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.Extra<ifinfomsg>();
  message.Text(IFLA_IFNAME, spec.name);
  message.U32(IFLA_MTU, spec.mtu);
  message.Bytes(IFLA_ADDRESS, spec.mac.data(), spec.mac.size());
  message.Nest(IFLA_LINKINFO, [&] {
    message.Text(IFLA_INFO_KIND, "bridge");
    message.Nest(IFLA_INFO_DATA, [&] {
      // A new port forwards at once: there is one bridge and no loop to look for.
      message.U32(IFLA_BR_FORWARD_DELAY, 0);
    });
  });
  const absl::Status made = socket.Run(message, absl::StrCat("making bridge ", spec.name));
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;

  const std::string v6 = absl::StrCat("/proc/sys/net/ipv6/conf/", spec.name, "/disable_ipv6");
  if (access(v6.c_str(), F_OK) == 0) RETURN_IF_ERROR(WriteFile(v6, "1"));
  RETURN_IF_ERROR(
      WriteFile(absl::StrCat("/proc/sys/net/ipv4/conf/", spec.name, "/route_localnet"), "1"));
  const int index = IndexOf(spec.name);
  if (index == 0) return absl::NotFoundError(absl::StrCat("bridge ", spec.name, " is gone again"));
  RETURN_IF_ERROR(AddAddress(socket, index, spec.address));
  RouteMessage up = Upping(index);
  up.U32(IFLA_MTU, spec.mtu);
  return socket.Run(up, absl::StrCat("setting ", spec.name, " up"));
}

absl::Status RtnetlinkDriver::DeleteLink(absl::string_view name) {
  ASSIGN_OR_RETURN(RouteSocket socket, RouteSocket::Open());
  RouteMessage message(RTM_DELLINK, 0);
  message.Extra<ifinfomsg>();
  message.Text(IFLA_IFNAME, name);
  const absl::Status status = socket.Run(message, absl::StrCat("deleting interface ", name));
  // ENODEV.
  if (absl::IsNotFound(status) || IndexOf(name) == 0) return absl::OkStatus();
  return status;
}

absl::Status RtnetlinkDriver::CreateNamespace(absl::string_view path,
                                              const std::optional<NamespaceOwner>& owner) {
  ASSIGN_OR_RETURN(NewNamespace made, MakeNamespace(owner ? &owner->maps : nullptr));
  RETURN_IF_ERROR(SetUp(made.inside, kLoopback));
  if (owner) RETURN_IF_ERROR(MountNamespace(made.user, owner->path));
  const absl::Status mounted = MountNamespace(made.fd, path);
  if (!mounted.ok() && owner) DropNamespaceAt(owner->path).IgnoreError();
  return mounted;
}

std::optional<RouteSocket> RtnetlinkDriver::TakePrepared(absl::string_view path) {
  absl::MutexLock lock(&mu_);
  auto found = prepared_.find(path);
  if (found == prepared_.end()) return std::nullopt;
  std::optional<RouteSocket> inside(std::move(found->second));
  prepared_.erase(found);
  return inside;
}

absl::Status RtnetlinkDriver::PrepareInterface(absl::string_view path, absl::string_view host_name,
                                               absl::string_view name) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenNamespaceAt(path));
  ASSIGN_OR_RETURN(RouteSocket inside, OpenInside(fd.get()));
  ASSIGN_OR_RETURN(RouteSocket host, RouteSocket::Open());
  RETURN_IF_ERROR(MakeVeth(host, host_name, name, fd.get(), kFirstVeth));
  absl::MutexLock lock(&mu_);
  prepared_.emplace(path, std::move(inside));
  return absl::OkStatus();
}

absl::Status RtnetlinkDriver::AddInterfaces(absl::string_view path,
                                            const std::vector<VethSpec>& veths) {
  if (veths.empty()) return absl::OkStatus();
  for (const VethSpec& veth : veths) {
    if (IndexOf(veth.bridge) != 0) continue;
    return absl::NotFoundError(absl::StrCat("there is no bridge ", veth.bridge));
  }
  std::optional<RouteSocket> inside = TakePrepared(path);
  const bool prepared = inside.has_value();
  UniqueFd fd;
  if (!prepared || veths.size() > 1) {
    ASSIGN_OR_RETURN(fd, OpenNamespaceAt(path));
  }
  if (!prepared) {
    ASSIGN_OR_RETURN(RouteSocket opened, OpenInside(fd.get()));
    inside.emplace(std::move(opened));
  }
  ASSIGN_OR_RETURN(RouteSocket host, RouteSocket::Open());
  int index = kFirstVeth;
  for (const VethSpec& veth : veths) {
    if (!prepared || index != kFirstVeth) {
      RETURN_IF_ERROR(MakeVeth(host, veth.host_name, veth.name, fd.get(), index));
    }
    RETURN_IF_ERROR(ConnectVeth(host, *inside, veth, index));
    ++index;
  }
  return absl::OkStatus();
}

absl::Status RtnetlinkDriver::DropNamespace(absl::string_view path) {
  TakePrepared(path).reset();
  return DropNamespaceAt(path);
}

absl::StatusOr<std::vector<std::string>> RtnetlinkDriver::Namespaces(absl::string_view directory) {
  return ListNamespaces(directory);
}

bool RtnetlinkDriver::IsNamespace(absl::string_view path) { return IsNamespaceAt(path); }

absl::StatusOr<bool> RtnetlinkDriver::EnableForwarding() {
  constexpr char kPath[] = "/proc/sys/net/ipv4/ip_forward";
  UniqueFd fd(open(kPath, O_RDWR | O_CLOEXEC));
  char now = 0;
  if (!fd.valid() || read(fd.get(), &now, 1) != 1) {
    return absl::ErrnoToStatus(errno, absl::StrCat("reading ", kPath));
  }
  if (now == '1') return false;
  if (pwrite(fd.get(), "1", 1, 0) != 1) {
    return absl::ErrnoToStatus(errno, absl::StrCat("writing ", kPath));
  }
  return true;
}

}  // namespace darse::netlink
