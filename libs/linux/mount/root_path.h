// Paths below a root that somebody else fills: never a string, always an fd (openat2,
// RESOLVE_IN_ROOT). A symlink in the root leads into the root, however it is swapped meanwhile.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::mnt {

// `flags` as for open(2), O_CLOEXEC is added. With `follow` false a symlink anywhere on the way is
// ELOOP.
absl::StatusOr<UniqueFd> OpenInRoot(int root, const std::string& path, int flags, mode_t mode = 0,
                                    bool follow = true);

enum class NodeKind { kDirectory, kFile };
// An O_PATH fd of what is at `path`, made with its parents if it is missing.
absl::StatusOr<UniqueFd> EnsureInRoot(int root, const std::string& path, NodeKind kind, mode_t mode,
                                      bool follow = true);

// "/a/./b//../c" -> {"a", "c"} joined again: what the path would be without symlinks, without
// leading slash.
std::string CleanRelative(absl::string_view path);

}  // namespace darse::mnt
