// NetlinkDriver over rtnetlink, in the network namespace of the calling thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/linux/netlink/netlink_driver.h"
#include "libs/linux/netlink/route_socket.h"

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
  absl::Status PrepareInterface(absl::string_view path, absl::string_view host_name,
                                absl::string_view name) override;
  absl::Status AddInterfaces(absl::string_view path, const std::vector<VethSpec>& veths) override;
  absl::Status DropNamespace(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> Namespaces(absl::string_view directory) override;
  bool IsNamespace(absl::string_view path) override;
  absl::StatusOr<bool> EnableForwarding() override;

 private:
  std::optional<RouteSocket> TakePrepared(absl::string_view path);

  absl::Mutex mu_;
  // Sockets inside namespaces whose first interface is prepared, by path. They keep the namespace
  // alive.
  std::map<std::string, RouteSocket, std::less<>> prepared_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::netlink
