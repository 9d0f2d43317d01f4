#include "services/runtime/networks/port_probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/netlink/ipv4.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

// In /proc/net/tcp; a bound UDP socket has state 07.
constexpr char kListen[] = "0A";
constexpr char kUnconnected[] = "07";

// Inodes of sockets that wait on this port, whatever the address.
std::vector<std::string> SocketsOn(const std::string& protocol, uint16_t port) {
  std::vector<std::string> inodes;
  for (const char* family : {"", "6"}) {
    absl::StatusOr<std::string> table = ReadFile(absl::StrCat("/proc/net/", protocol, family));
    if (!table.ok()) continue;
    for (absl::string_view line : absl::StrSplit(*table, '\n')) {
      // sl local_address rem_address st queues tr when retrnsmt uid timeout inode
      const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (fields.size() < 10) continue;
      const size_t colon = fields[1].rfind(':');
      uint32_t local = 0;
      if (colon == absl::string_view::npos ||
          !absl::SimpleHexAtoi(fields[1].substr(colon + 1), &local) || local != port) {
        continue;
      }
      if (fields[3] == kListen || fields[3] == kUnconnected) inodes.emplace_back(fields[9]);
    }
  }
  return inodes;
}

// "nginx (pid 123)"; empty if it cannot be found.
std::string OwnerOf(const std::vector<std::string>& inodes) {
  absl::StatusOr<std::vector<std::string>> pids = ListDirectory("/proc");
  if (!pids.ok() || inodes.empty()) return "";
  for (const std::string& pid : *pids) {
    if (!absl::ascii_isdigit(pid[0])) continue;
    const std::string directory = absl::StrCat("/proc/", pid, "/fd");
    absl::StatusOr<std::vector<std::string>> fds = ListDirectory(directory);
    if (!fds.ok()) continue;
    for (const std::string& fd : *fds) {
      char target[64];
      const ssize_t size =
          readlink(absl::StrCat(directory, "/", fd).c_str(), target, sizeof(target));
      for (const std::string& inode : inodes) {
        if (size <= 0 || absl::string_view(target, size) != absl::StrCat("socket:[", inode, "]")) {
          continue;
        }
        absl::StatusOr<std::string> name = ReadFile(absl::StrCat("/proc/", pid, "/comm"));
        return absl::StrCat(name.ok() ? absl::StripAsciiWhitespace(*name) : "a process", " (pid ",
                            pid, ")");
      }
    }
  }
  return "";
}

std::string HostSide(const PortMapping& port) {
  return absl::StrCat(port.host_ip.empty() ? "" : port.host_ip + ":", port.host_port, "/",
                      port.protocol);
}

// The port it was bound to.
absl::StatusOr<uint16_t> Bind(const PortMapping& port) {
  const bool tcp = port.protocol == "tcp";
  UniqueFd fd(socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "opening a socket");
  // Connections of a former owner that linger in TIME_WAIT are no reason to refuse.
  const int on = 1;
  if (tcp) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port.host_port)};
  if (!port.host_ip.empty()) {
    ASSIGN_OR_RETURN(const netlink::Ipv4 ip, netlink::Ipv4::Parse(port.host_ip));
    address.sin_addr.s_addr = htonl(ip.bits);
  }
  socklen_t size = sizeof(address);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    if (errno == EADDRINUSE) {
      const std::string owner = OwnerOf(SocketsOn(port.protocol, port.host_port));
      return WithReason(
          absl::FailedPreconditionError(absl::StrCat("port ", HostSide(port), " is used by ",
                                                     owner.empty() ? "another program" : owner)),
          "PORT_IN_USE");
    }
    if (errno == EADDRNOTAVAIL) {
      return absl::InvalidArgumentError(absl::StrCat("publishing port ", HostSide(port), ": ",
                                                     port.host_ip,
                                                     " is not an address of this host"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("publishing port ", HostSide(port)));
  }
  return ntohs(address.sin_port);
}

}  // namespace

absl::Status ProbePort(const PortMapping& port) { return Bind(port).status(); }

absl::StatusOr<uint16_t> ChooseFreePort(const PortMapping& port) {
  PortMapping any = port;
  any.host_port = 0;
  return Bind(any);
}

}  // namespace darse::runtime
