// The lease: what makes a shim that was started in advance (parked.h) the shim of a container. One
// packet on the report fd: a byte that tells which of stdin, stdout and stderr (kStdin, …) come
// with it as fds.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "libs/base/unique_fd.h"

namespace darse::shim {

// -1 where there is none. UNAVAILABLE if the shim is gone.
absl::Status SendLease(int socket, std::span<const int, 3> attach);
// CANCELLED at end-of-file.
absl::Status ReceiveLease(int socket, std::span<UniqueFd, 3> attach);

}  // namespace darse::shim
