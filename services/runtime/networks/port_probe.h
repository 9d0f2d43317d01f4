// Whether a port of this host is free, and who has it if not.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/runtime/networks/network.h"

namespace darse::runtime {

// Binds the host's side of the mapping for a moment. FAILED_PRECONDITION (PORT_IN_USE) names the
// process that has it; INVALID_ARGUMENT if host_ip is not an address of this host.
absl::Status ProbePort(const PortMapping& port);
// A port that nobody has at the moment, for the mapping's host_ip and protocol.
absl::StatusOr<uint16_t> ChooseFreePort(const PortMapping& port);

}  // namespace darse::runtime
