// A container's root filesystem as it would be mounted, seen from outside without a mount that
// anybody else sees.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"
#include "services/runtime/containers/user_lookup.h"
#include "services/runtime/snapshots/snapshot_engine.h"

namespace darse::runtime {

// What a start has to know of it.
struct RootPlan {
  SnapshotDirs dirs;
  ResolvedUser user;
};

// Read-only, over the writable directory and the layers below it.
absl::StatusOr<UniqueFd> OpenRootView(const SnapshotDirs& dirs);

// Of a regular file below `root`; empty if there is none. At most 1 MiB.
absl::StatusOr<std::string> ReadSmallFile(int root, absl::string_view path);

// By the /etc/passwd and /etc/group below `root`.
absl::StatusOr<ResolvedUser> LookUpUserIn(int root, absl::string_view user,
                                          const std::vector<std::string>& additional_groups);

// Fills an empty directory with what `root` has at `path`: contents, owners, modes, times, extended
// attributes, symlinks, hard links as copies. OK if there is no such directory, or if `target` is
// not empty.
absl::Status FillFromRoot(int root, absl::string_view path, absl::string_view target);

}  // namespace darse::runtime
