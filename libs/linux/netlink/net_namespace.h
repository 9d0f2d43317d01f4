// Namespaces as files: made, bind mounted, dropped.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/namespace/id_maps.h"
#include "libs/linux/netlink/route_socket.h"

namespace darse::netlink {

struct NewNamespace {
  UniqueFd fd;
  // The user namespace it belongs to; not valid: the host's.
  UniqueFd user;
  // Works inside the namespace, from any thread.
  RouteSocket inside;
};

// A namespace with the sysctls that containers get, its loopback down, mounted nowhere: it goes
// with `fd` and `inside`. `maps`: of a user namespace of its own; may be null. Made by a thread of
// its own, since unshare moves the thread that calls it.
absl::StatusOr<NewNamespace> MakeNamespace(const ns::IdMaps* maps);
// For the namespace `fd`.
absl::StatusOr<RouteSocket> OpenInside(int fd);

absl::StatusOr<UniqueFd> OpenNamespaceAt(absl::string_view path);
// ALREADY_EXISTS if one is mounted there.
absl::Status MountNamespace(const UniqueFd& fd, absl::string_view path);
// OK if there is none.
absl::Status DropNamespaceAt(absl::string_view path);
// True if `path` is a mounted namespace.
bool IsNamespaceAt(absl::string_view path);
absl::StatusOr<std::vector<std::string>> ListNamespaces(absl::string_view directory);

}  // namespace darse::netlink
