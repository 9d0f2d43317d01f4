// Layers over one another.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"

namespace darse::mnt {

struct OverlaySource {
  std::vector<std::string> lower_dirs;  // top first
  std::string upper_dir, work_dir;      // both empty: read-only
  // A user namespace: all directories, which keep the ids of its inside on disk, show those that
  // its maps give them outside (kernel 5.19). Upper and work directory must lie in one directory
  // then. -1: all ids are as they are.
  int id_map = -1;
};
// Takes any number of layers where the kernel (6.5) lets them be added one by one; before, some
// 900.
absl::StatusOr<UniqueFd> MakeOverlay(const OverlaySource& source);
// The same; `spent` gets what the mount was made of and has no use any more, but takes the kernel
// long to let go of.
absl::StatusOr<UniqueFd> MakeOverlayKeeping(const OverlaySource& source,
                                            std::vector<UniqueFd>& spent);
// Asks the kernel now what MakeOverlay would ask first.
void LearnOverlay();
// The way of older kernels, which MakeOverlay falls back to.
absl::StatusOr<UniqueFd> MakeOverlayAsOnePage(const OverlaySource& source);

}  // namespace darse::mnt
