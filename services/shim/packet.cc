#include "services/shim/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/str_cat.h"
#include "services/shim/protocol.h"

namespace darse::shim {
namespace {

absl::Status SocketError(absl::string_view doing) {
  if (errno == EAGAIN || errno == EPIPE || errno == ECONNRESET || errno == ECONNREFUSED) {
    return absl::UnavailableError(absl::StrCat(doing, ": ", strerror(errno)));
  }
  return absl::ErrnoToStatus(errno, doing);
}

}  // namespace

absl::Status SendPacket(int socket, absl::string_view bytes, std::span<const int> fds) {
  if (bytes.size() > kMaxPacket || fds.size() > kMaxFds) {
    return absl::InvalidArgumentError("send packet: too long");
  }
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return SocketError("send packet");
  return absl::OkStatus();
}

absl::StatusOr<Packet> ReceivePacket(int socket) {
  char buffer[kMaxPacket];
  iovec part = {buffer, sizeof(buffer)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ssize_t got;
  do {
    got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == ECONNRESET) return Packet{};
    return SocketError("receive packet");
  }
  Packet packet;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      packet.fds.emplace_back(fd);
    }
  }
  if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
    return absl::DataLossError("receive packet: longer than the protocol allows");
  }
  packet.bytes.assign(buffer, static_cast<size_t>(got));
  return packet;
}

absl::StatusOr<UniqueFd> ConnectShim(const std::string& run_dir) {
  // sun_path holds 107 bytes; a descriptor of the directory makes any path short.
  UniqueFd dir(open(run_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", run_dir));
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return absl::ErrnoToStatus(errno, "socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::string path = absl::StrCat("/proc/self/fd/", dir.get(), "/shim.sock");
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    return SocketError(absl::StrCat("connect ", run_dir, "/shim.sock"));
  }
  return socket;
}

absl::StatusOr<UniqueFd> MakeMemoryFile(absl::string_view content) {
  UniqueFd file(memfd_create("darse", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return absl::ErrnoToStatus(errno, "memfd_create");
  while (!content.empty()) {
    ssize_t wrote = write(file.get(), content.data(), content.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return absl::ErrnoToStatus(errno, "write memory file");
    content.remove_prefix(static_cast<size_t>(wrote));
  }
  lseek(file.get(), 0, SEEK_SET);
  fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  return file;
}

}  // namespace darse::shim
