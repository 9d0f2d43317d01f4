// Opening paths that strangers chose below a directory: symlinks, absolute ones too, never lead out
// of it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::archive {

// "/a//b/./c/" → "a/b/c"; "" for the root itself. INVALID_ARGUMENT for a ".." anywhere.
absl::StatusOr<std::string> CleanPath(absl::string_view path);

// "a/b/c" → {"a/b", "c"}; "c" → {"", "c"}.
std::pair<absl::string_view, absl::string_view> SplitPath(absl::string_view clean);

// openat2 with RESOLVE_IN_ROOT below `root`; "" opens the root itself. `path` need not be clean.
absl::StatusOr<UniqueFd> OpenInRoot(int root, absl::string_view path, uint64_t flags,
                                    uint64_t mode = 0);

// As OpenInRoot, but a symlink anywhere on the way is an error (FAILED_PRECONDITION).
absl::StatusOr<UniqueFd> OpenStraight(int root, absl::string_view clean, uint64_t flags);

// The clean path with its symlinks followed inside the root; what does not exist is left as it is.
// Only for directories that nobody else changes meanwhile.
absl::StatusOr<std::string> RealPathInRoot(int root, absl::string_view clean);

// Opens a directory (O_PATH) and makes what is missing of it, with mode 0755. Existing symlinks are
// followed inside the root. INVALID_ARGUMENT if something on the way is no directory.
absl::StatusOr<UniqueFd> MakeDirectoriesInRoot(int root, absl::string_view clean, uint32_t uid = 0,
                                               uint32_t gid = 0);

// Removes `name` and, where it is a directory, all below it, without following symlinks or leaving
// the directory. OK if there is none.
absl::Status RemoveTree(int directory, const std::string& name);

}  // namespace darse::archive
