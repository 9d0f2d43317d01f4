#include "services/shim/parked.h"

#include <memory>

#include "libs/base/status_macros.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/os/idle_memory.h"
#include "services/shim/packet.h"
#include "services/shim/protocol.h"

namespace darse::shim {

absl::StatusOr<Leased> AwaitLease(int socket, const std::string& cgroup_path) {
  Leased leased;
  ASSIGN_OR_RETURN(leased.starter, ParkStarter(cgroup_path));
  // A runtime that is gone is noticed below.
  SendPacket(socket, EncodeMessage({.kind = MessageKind::kDone})).IgnoreError();
  MapProgram();
  absl::StatusOr<Lease> received = ReceiveLease(socket);
  if (received.ok()) {
    leased.lease = *std::move(received);
    return leased;
  }
  EndParked(std::move(leased.starter));
  absl::StatusOr<std::unique_ptr<cgroup::CgroupDriver>> cgroups = cgroup::OpenHostCgroups();
  if (cgroups.ok()) (*cgroups)->Delete(cgroup_path).IgnoreError();
  return received.status();
}

}  // namespace darse::shim
