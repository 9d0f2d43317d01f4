#include "libs/container/net_devices.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"

namespace darse::container {
namespace {

// A request: the header, a fixed part, attributes.
class Request {
 public:
  template <typename T>
  Request(uint16_t type, uint16_t flags, const T& fixed) : bytes_(NLMSG_LENGTH(sizeof(T)), '\0') {
    nlmsghdr* header = Header();
    header->nlmsg_type = type;
    header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    memcpy(NLMSG_DATA(header), &fixed, sizeof(T));
  }
  Request& Add(uint16_t type, const void* value, size_t size) {
    size_t at = NLMSG_ALIGN(bytes_.size());
    bytes_.resize(at + RTA_SPACE(size), '\0');
    rtattr attribute = {.rta_len = static_cast<unsigned short>(RTA_LENGTH(size)), .rta_type = type};
    memcpy(&bytes_[at], &attribute, sizeof(attribute));
    memcpy(&bytes_[at + RTA_LENGTH(0)], value, size);
    return *this;
  }
  const std::string& Finish() {
    Header()->nlmsg_len = static_cast<uint32_t>(bytes_.size());
    return bytes_;
  }

 private:
  nlmsghdr* Header() { return reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  std::string bytes_;
};

using Row = std::function<void(const nlmsghdr&)>;

// Sends it in this process's network namespace, and hears the kernel out.
absl::Status Ask(Request& request, const std::string& doing, const Row& row = nullptr) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket.valid()) return SyscallError(errno, "netlink socket");
  const std::string& bytes = request.Finish();
  if (send(socket.get(), bytes.data(), bytes.size(), 0) < 0) return SyscallError(errno, doing);
  alignas(nlmsghdr) char buffer[32768];
  for (;;) {
    ssize_t got = recv(socket.get(), buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SyscallError(errno, doing);
    int left = static_cast<int>(got);
    for (const nlmsghdr* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return absl::OkStatus();
      if (header->nlmsg_type == NLMSG_ERROR) {
        const auto* answer = static_cast<const nlmsgerr*>(NLMSG_DATA(header));
        return answer->error == 0 ? absl::OkStatus() : SyscallError(-answer->error, doing);
      }
      if (row) row(*header);
    }
  }
}

// Those that somebody gave it for good: what the kernel makes itself it makes again.
void AddAddress(const nlmsghdr& header, MovingInterface& interface) {
  const auto* fixed = static_cast<const ifaddrmsg*>(NLMSG_DATA(&header));
  if (header.nlmsg_type != RTM_NEWADDR || static_cast<int>(fixed->ifa_index) != interface.index ||
      (fixed->ifa_flags & IFA_F_PERMANENT) == 0 || fixed->ifa_scope != RT_SCOPE_UNIVERSE) {
    return;
  }
  InterfaceAddress address = {.family = fixed->ifa_family, .prefix_length = fixed->ifa_prefixlen};
  int left = static_cast<int>(IFA_PAYLOAD(&header));
  std::string local;
  for (const rtattr* attribute = IFA_RTA(fixed); RTA_OK(attribute, left);
       attribute = RTA_NEXT(attribute, left)) {
    std::string value(static_cast<const char*>(RTA_DATA(attribute)), RTA_PAYLOAD(attribute));
    if (attribute->rta_type == IFA_LOCAL) local = value;
    if (attribute->rta_type == IFA_ADDRESS) address.bytes = value;
    if (attribute->rta_type == IFA_BROADCAST) address.broadcast = value;
  }
  // On IPv4 the first is one's own, the other may be the peer's.
  if (!local.empty()) address.bytes = local;
  interface.addresses.push_back(std::move(address));
}

absl::Status SetUp(const MovingInterface& interface) {
  // It has the same index, unless that was taken already.
  int index = static_cast<int>(if_nametoindex(interface.new_name.c_str()));
  if (index == 0) return SyscallError(errno, interface.new_name);
  for (const InterfaceAddress& address : interface.addresses) {
    ifaddrmsg fixed = {.ifa_family = static_cast<unsigned char>(address.family),
                       .ifa_prefixlen = static_cast<unsigned char>(address.prefix_length),
                       .ifa_flags = IFA_F_PERMANENT,
                       .ifa_scope = RT_SCOPE_UNIVERSE,
                       .ifa_index = static_cast<unsigned>(index)};
    Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, fixed);
    request.Add(IFA_LOCAL, address.bytes.data(), address.bytes.size());
    request.Add(IFA_ADDRESS, address.bytes.data(), address.bytes.size());
    if (!address.broadcast.empty()) {
      request.Add(IFA_BROADCAST, address.broadcast.data(), address.broadcast.size());
    }
    RETURN_IF_ERROR(Ask(request, absl::StrCat("give ", interface.new_name, " its address")));
  }
  ifinfomsg up = {};
  up.ifi_index = index;
  up.ifi_flags = IFF_UP;
  up.ifi_change = IFF_UP;
  Request request(RTM_NEWLINK, 0, up);
  return Ask(request, absl::StrCat("set ", interface.new_name, " up"));
}

}  // namespace

absl::StatusOr<std::vector<MovingInterface>> FindInterfaces(const std::vector<NetDevice>& wanted) {
  std::vector<MovingInterface> interfaces;
  for (const NetDevice& device : wanted) {
    MovingInterface interface = {.index = static_cast<int>(if_nametoindex(device.name.c_str())),
                                 .name = device.name,
                                 .new_name = device.new_name};
    if (interface.index == 0) {
      return absl::NotFoundError(
          absl::StrCat("linux.netDevices.", device.name, ": this host has no such interface"));
    }
    Request request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
    RETURN_IF_ERROR(Ask(request, "list addresses",
                        [&](const nlmsghdr& header) { AddAddress(header, interface); }));
    interfaces.push_back(std::move(interface));
  }
  return interfaces;
}

absl::Status MoveInterfaces(const std::vector<MovingInterface>& interfaces, int network_namespace) {
  for (const MovingInterface& interface : interfaces) {
    ifinfomsg fixed = {};
    fixed.ifi_index = interface.index;
    fixed.ifi_change = IFF_UP;  // down: an interface that is up keeps its name
    Request down(RTM_NEWLINK, 0, fixed);
    std::string field = absl::StrCat("linux.netDevices.", interface.name);
    RETURN_IF_ERROR(Ask(down, field));
    fixed.ifi_change = 0;
    Request move(RTM_NEWLINK, 0, fixed);
    move.Add(IFLA_NET_NS_FD, &network_namespace, sizeof(network_namespace));
    move.Add(IFLA_IFNAME, interface.new_name.c_str(), interface.new_name.size() + 1);
    RETURN_IF_ERROR(Ask(move, field));
  }
  return absl::OkStatus();
}

absl::Status SetUpInterfaces(const std::vector<MovingInterface>& interfaces) {
  for (const MovingInterface& interface : interfaces) {
    RETURN_IF_ERROR(Annotate(SetUp(interface), absl::StrCat("linux.netDevices.", interface.name)));
  }
  return absl::OkStatus();
}

}  // namespace darse::container
