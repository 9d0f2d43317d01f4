// Paths that somebody else wrote, resolved below an open directory by the kernel (openat2 with
// RESOLVE_IN_ROOT): neither "..", an absolute path nor a symlink leads out of it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse {

// A trusted directory, as O_PATH.
absl::StatusOr<UniqueFd> OpenDirectory(absl::string_view path);

// openat2 with `flags` (O_CLOEXEC is added). A symlink in the last place is followed inside the
// root unless O_NOFOLLOW is given. Magic links of /proc are refused.
absl::StatusOr<UniqueFd> OpenInRoot(int root, absl::string_view path, int flags, mode_t mode = 0);

// Makes what is missing of `path` (symlinks to directories are followed inside the root) and opens
// the last directory as O_PATH. FAILED_PRECONDITION if a part is there and is not a directory.
absl::StatusOr<UniqueFd> MakeDirectoriesInRoot(int root, absl::string_view path,
                                               mode_t mode = 0755);

// The directory of `path`'s last part and that part's name, for the *at(2) calls; `name` is never
// empty, ".", ".." and has no slash. The part itself need not exist and is not followed.
struct NameInRoot {
  UniqueFd directory;
  std::string name;
};
absl::StatusOr<NameInRoot> LocateInRoot(int root, absl::string_view path);
// As above, making missing directories.
absl::StatusOr<NameInRoot> LocateOrMakeInRoot(int root, absl::string_view path,
                                              mode_t directory_mode = 0755);

// lstat below the root.
absl::StatusOr<struct stat> StatInRoot(int root, absl::string_view path);

}  // namespace darse
