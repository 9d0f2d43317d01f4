// The id maps of user namespaces (user_namespaces(7)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::ns {

// `size` ids from `container_id` on are those from `host_id` on outside.
struct IdMapping {
  uint32_t container_id = 0, host_id = 0, size = 0;

  bool operator==(const IdMapping&) const = default;
};

struct IdMaps {
  std::vector<IdMapping> uids, gids;

  bool empty() const { return uids.empty() && gids.empty(); }
  bool operator==(const IdMaps&) const = default;
};

// nullopt: nobody outside.
std::optional<uint32_t> ToHost(const std::vector<IdMapping>& maps, uint32_t container_id);
// INVALID_ARGUMENT unless there is one mapping at least, none is empty or beyond 32 bits, and none
// overlap on either side.
absl::Status CheckMappings(const std::vector<IdMapping>& maps);

// Gives the new user namespace of `pid`, a child of ours, its maps. Who is not root may map itself
// alone; for more, newuidmap and newgidmap do it as far as /etc/subuid and /etc/subgid allow, and
// only where `pid` is dumpable.
absl::Status WriteIdMaps(pid_t pid, const IdMaps& maps);
// As this process sees them.
absl::StatusOr<IdMaps> ReadIdMaps(pid_t pid);
absl::StatusOr<std::vector<IdMapping>> ParseIdMap(absl::string_view text);

}  // namespace darse::ns
