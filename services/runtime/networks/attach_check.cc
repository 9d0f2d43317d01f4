#include "services/runtime/networks/attach_check.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/linux/netlink/ipv4.h"

namespace darse::runtime {
namespace {

constexpr size_t kLongestName = 128;
constexpr size_t kContainerIdSize = 64;

bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; }

// As a name to be looked up: it is stored and sent as it is.
absl::Status CheckAlias(absl::string_view alias) {
  if (alias.empty() || alias.size() > kLongestName ||
      !std::all_of(alias.begin(), alias.end(), IsNameChar)) {
    return absl::InvalidArgumentError(
        absl::StrCat("alias \"", alias, "\" must be of [a-zA-Z0-9_.-]"));
  }
  return absl::OkStatus();
}

absl::StatusOr<PortMapping> CheckPort(PortMapping port) {
  if (port.protocol.empty()) port.protocol = "tcp";
  if (port.protocol != "tcp" && port.protocol != "udp") {
    return absl::InvalidArgumentError(absl::StrCat("publishing port ", port.container_port, "/",
                                                   port.protocol,
                                                   ": only tcp and udp can be published"));
  }
  if (port.container_port == 0) {
    return absl::InvalidArgumentError("publishing a port: the container's port is missing");
  }
  if (port.host_ip == "0.0.0.0") port.host_ip.clear();
  if (!port.host_ip.empty()) {
    RETURN_IF_ERROR(Annotate(netlink::Ipv4::Parse(port.host_ip),
                             absl::StrCat("publishing port ", port.container_port))
                        .status());
  }
  return port;
}

}  // namespace

absl::Status CheckNetworkName(absl::string_view name) {
  if (name.empty() || name.size() > kLongestName || !absl::ascii_isalnum(name[0]) ||
      !std::all_of(name.begin(), name.end(), IsNameChar)) {
    return absl::InvalidArgumentError(
        absl::StrCat("network name \"", name,
                     "\" must be of [a-zA-Z0-9_.-], a letter or digit "
                     "first, ",
                     kLongestName, " at most"));
  }
  if (name == "host" || name == "none") {
    return absl::InvalidArgumentError(
        absl::StrCat("network name \"", name, "\" is the name of a mode"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AttachRequest> CheckAttachRequest(const AttachRequest& request) {
  AttachRequest checked = request;
  const std::string& id = request.container_id;
  // It becomes the name of a file.
  if (id.size() != kContainerIdSize ||
      !std::all_of(id.begin(), id.end(), [](char c) { return absl::ascii_isxdigit(c); })) {
    return absl::InvalidArgumentError(absl::StrCat("\"", id, "\" is not a container's id"));
  }
  RETURN_IF_ERROR(CheckAlias(request.container_name));
  if (request.mode != NetworkMode::kBridge) {
    if (!request.networks.empty()) {
      return absl::InvalidArgumentError("networks can be given only in bridge mode");
    }
    if (!request.ports.empty()) {
      return absl::InvalidArgumentError("ports can be published only in bridge mode");
    }
  }
  if (request.mode == NetworkMode::kContainer &&
      (request.network_container_id.empty() || request.network_container_id == id)) {
    return absl::InvalidArgumentError("the container whose network is to be joined is missing");
  }
  for (const NetworkAttachment& place : request.networks) {
    for (const std::string& alias : place.aliases) RETURN_IF_ERROR(CheckAlias(alias));
  }
  for (const std::string& server : request.dns) {
    RETURN_IF_ERROR(Annotate(netlink::Ipv4::Parse(server), "name server").status());
  }
  for (const std::string& domain : request.dns_search) {
    if (domain != ".") RETURN_IF_ERROR(CheckAlias(domain));
  }
  for (PortMapping& port : checked.ports) {
    ASSIGN_OR_RETURN(port, CheckPort(port));
  }
  for (size_t i = 0; i < checked.ports.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const PortMapping& a = checked.ports[i];
      const PortMapping& b = checked.ports[j];
      if (a.host_port != 0 && a.host_port == b.host_port && a.protocol == b.protocol &&
          (a.host_ip.empty() || b.host_ip.empty() || a.host_ip == b.host_ip)) {
        return absl::InvalidArgumentError(
            absl::StrCat("port ", a.host_port, "/", a.protocol, " is published twice"));
      }
    }
  }
  return checked;
}

}  // namespace darse::runtime
