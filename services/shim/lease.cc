#include "services/shim/lease.h"

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/status_macros.h"
#include "services/shim/packet.h"
#include "services/shim/protocol.h"

namespace darse::shim {
namespace {

constexpr uint32_t kClearance = 8;
constexpr uint32_t kBits[] = {kStdin, kStdout, kStderr, kClearance};

}  // namespace

absl::Status SendLease(int socket, const LeaseFds& lease) {
  const int all[] = {lease.attach[0], lease.attach[1], lease.attach[2], lease.clearance};
  uint32_t bits = 0;
  std::vector<int> fds;
  for (size_t i = 0; i < std::size(all); ++i) {
    if (all[i] < 0) continue;
    bits |= kBits[i];
    fds.push_back(all[i]);
  }
  return SendPacket(socket, std::string(1, static_cast<char>(bits)), fds);
}

absl::StatusOr<Lease> ReceiveLease(int socket) {
  ASSIGN_OR_RETURN(Packet packet, ReceivePacket(socket));
  if (packet.bytes.empty()) return absl::CancelledError("no lease came");
  if (packet.bytes.size() != 1) return absl::InvalidArgumentError("lease: not one byte");
  uint32_t bits = static_cast<unsigned char>(packet.bytes[0]);
  Lease lease;
  UniqueFd* const all[] = {&lease.attach[0], &lease.attach[1], &lease.attach[2], &lease.clearance};
  size_t next = 0;
  for (size_t i = 0; i < std::size(all); ++i) {
    if ((bits & kBits[i]) == 0) continue;
    if (next == packet.fds.size()) return absl::InvalidArgumentError("lease: fds are missing");
    *all[i] = std::move(packet.fds[next++]);
  }
  if (next != packet.fds.size()) return absl::InvalidArgumentError("lease: more fds than it says");
  return lease;
}

}  // namespace darse::shim
