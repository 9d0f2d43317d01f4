// The lease: what makes a shim that was started in advance (parked.h) the shim of a container. One
// packet on the report fd: a byte that tells which of stdin, stdout, stderr (kStdin, …) and the
// clearance (8) come with it as fds.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"

namespace darse::shim {

// -1, or not valid, where there is none.
struct LeaseFds {
  int attach[3] = {-1, -1, -1};
  // LaunchOptions::clearance.
  int clearance = -1;
};
struct Lease {
  UniqueFd attach[3];
  UniqueFd clearance;
};

// UNAVAILABLE if the shim is gone.
absl::Status SendLease(int socket, const LeaseFds& fds);
// CANCELLED at end-of-file.
absl::StatusOr<Lease> ReceiveLease(int socket);

}  // namespace darse::shim
