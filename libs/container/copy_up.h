// What an image has at a place goes into the tmpfs that will hide it (mount option "tmpcopyup").
#pragma once

#include "absl/status/status.h"

namespace darse::container {

// Owners, modes, times, links and extended attributes too. `source` and `target` are directories by
// their fds (O_PATH will do); nothing is followed out of them.
absl::Status CopyUp(int source, int target);

}  // namespace darse::container
