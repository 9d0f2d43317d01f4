// Packets with file descriptors over SOCK_SEQPACKET, and the way to a shim's socket.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::shim {

struct Packet {
  std::string bytes;  // empty: the peer has closed
  std::vector<UniqueFd> fds;
};

// UNAVAILABLE when it would block or the peer is gone; never raises SIGPIPE.
absl::Status SendPacket(int socket, absl::string_view bytes, std::span<const int> fds = {});
// UNAVAILABLE when it would block; DATA_LOSS for a packet longer than kMaxPacket.
absl::StatusOr<Packet> ReceivePacket(int socket);

// Connects to `<run_dir>/shim.sock`, however long the path. Non-blocking and close-on-exec;
// NOT_FOUND or UNAVAILABLE when no shim listens there.
absl::StatusOr<UniqueFd> ConnectShim(const std::string& run_dir);

// A sealed memory file with `content`: how process JSON travels.
absl::StatusOr<UniqueFd> MakeMemoryFile(absl::string_view content);

}  // namespace darse::shim
