// COPY between two root filesystems.
//
//   a directory's contents go into the destination, a file goes
//     into it if it ends with "/", is a directory, or several things are copied
//     or becomes it
//   what is there of another kind is replaced, but never a directory by a file or a file by a
//   directory a symlink to a directory in the destination is kept and followed, inside the root
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace darse::runtime {

struct CopyOptions {
  std::string destination;
  // Unset: the source's.
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  // Permission bits of files and directories; 0: the source's.
  uint32_t mode = 0;
};

// `paths` are below `source`, as FindPaths answers them.
absl::Status CopyTree(int source, const std::vector<std::string>& paths, int target,
                      const CopyOptions& options);

// Over what CopyTree would read: kinds, names, modes, owners, contents, link targets, capabilities;
// not times.
absl::StatusOr<std::string> DigestTree(int source, const std::vector<std::string>& paths);

}  // namespace darse::runtime
