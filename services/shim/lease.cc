#include "services/shim/lease.h"

#include <string>
#include <vector>

#include "libs/base/status_macros.h"
#include "services/shim/packet.h"
#include "services/shim/protocol.h"

namespace darse::shim {
namespace {

constexpr uint32_t kBits[] = {kStdin, kStdout, kStderr};

}  // namespace

absl::Status SendLease(int socket, std::span<const int, 3> attach) {
  uint32_t bits = 0;
  std::vector<int> fds;
  for (size_t i = 0; i < 3; ++i) {
    if (attach[i] < 0) continue;
    bits |= kBits[i];
    fds.push_back(attach[i]);
  }
  return SendPacket(socket, std::string(1, static_cast<char>(bits)), fds);
}

absl::Status ReceiveLease(int socket, std::span<UniqueFd, 3> attach) {
  ASSIGN_OR_RETURN(Packet packet, ReceivePacket(socket));
  if (packet.bytes.empty()) return absl::CancelledError("no lease came");
  if (packet.bytes.size() != 1) return absl::InvalidArgumentError("lease: not one byte");
  uint32_t bits = static_cast<unsigned char>(packet.bytes[0]);
  size_t next = 0;
  for (size_t i = 0; i < 3; ++i) {
    if ((bits & kBits[i]) == 0) continue;
    if (next == packet.fds.size()) return absl::InvalidArgumentError("lease: fds are missing");
    attach[i] = std::move(packet.fds[next++]);
  }
  if (next != packet.fds.size()) return absl::InvalidArgumentError("lease: more fds than it says");
  return absl::OkStatus();
}

}  // namespace darse::shim
