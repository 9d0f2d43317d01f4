// NetlinkDriver over rtnetlink, in the network namespace of the calling thread.
#pragma once

#include <string>
#include <vector>

#include "libs/linux/netlink/netlink_driver.h"

namespace darse::netlink {

// Thread-safe: each call has a socket of its own.
class RtnetlinkDriver final : public NetlinkDriver {
 public:
  absl::StatusOr<std::vector<Link>> Links() override;
  absl::StatusOr<std::vector<Route>> Routes() override;
  absl::Status EnsureBridge(const BridgeSpec& spec) override;
  absl::Status DeleteLink(absl::string_view name) override;
  absl::Status CreateNamespace(absl::string_view path,
                               const std::optional<NamespaceOwner>& owner) override;
  absl::Status AddInterfaces(absl::string_view path, const std::vector<VethSpec>& veths) override;
  absl::Status DropNamespace(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> Namespaces(absl::string_view directory) override;
  bool IsNamespace(absl::string_view path) override;
  absl::StatusOr<bool> EnableForwarding() override;
};

}  // namespace darse::netlink
