// A shim that was started before there is a container for it.
//
//   darse-shim --state DIR --run DIR --report-fd N --parked CGROUP
//
// It makes the cgroup, and a helper that is in it already: with cgroup v1, entering one waits for
// the kernel's RCU, 5 to 20 ms after some idleness. Then it sends one message, kDone, and waits for
// the lease (lease.h). From there on it is like any other shim. At end-of-file without a lease it
// removes the cgroup and ends.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/shim/lease.h"
#include "services/shim/starter.h"

namespace darse::shim {

struct Leased {
  Lease lease;
  // To be used for the first start.
  ParkedStarter starter;
};
// CANCELLED if the runtime let go of it: nothing is left then.
absl::StatusOr<Leased> AwaitLease(int socket, const std::string& cgroup_path);

}  // namespace darse::shim
