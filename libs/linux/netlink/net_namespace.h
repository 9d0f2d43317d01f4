// Network namespaces as files: made, bind mounted, dropped.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/netlink/route_socket.h"

namespace darse::netlink {

struct NewNamespace {
  UniqueFd fd;
  // Works inside the namespace, from any thread.
  RouteSocket inside;
};

// A namespace with the sysctls that containers get, its loopback down, mounted nowhere: it goes
// with `fd` and `inside`. Made by a thread of its own, since unshare moves the thread that calls
// it.
absl::StatusOr<NewNamespace> MakeNamespace();

// ALREADY_EXISTS if one is mounted there.
absl::Status MountNamespace(const UniqueFd& fd, absl::string_view path);
// OK if there is none.
absl::Status DropNamespaceAt(absl::string_view path);
// True if `path` is a mounted network namespace.
bool IsNamespaceAt(absl::string_view path);
absl::StatusOr<std::vector<std::string>> ListNamespaces(absl::string_view directory);

}  // namespace darse::netlink
