// User namespaces that no process is in, and what belongs to them.
#pragma once

#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/namespace/id_maps.h"

namespace darse::ns {

// From any thread, of a process with any number of them; on errors as WriteIdMaps.
absl::StatusOr<UniqueFd> MakeUserNamespace(const IdMaps& maps);

struct UserAndNetwork {
  UniqueFd user;
  // Belongs to `user`: its root may do there what root may.
  UniqueFd network;
};
absl::StatusOr<UserAndNetwork> MakeUserAndNetwork(const IdMaps& maps);

// Only in a process with one thread.
absl::StatusOr<IdMaps> MapsOfUserNamespace(int user_namespace);

}  // namespace darse::ns
