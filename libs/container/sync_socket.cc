#include "libs/container/sync_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "absl/strings/str_cat.h"
#include "libs/base/syscall_error.h"

namespace darse::container {

absl::Status MakeSyncPair(UniqueFd& starter, UniqueFd& child) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    return SyscallError(errno, "socketpair");
  }
  starter.Reset(ends[0]);
  child.Reset(ends[1]);
  return absl::OkStatus();
}

absl::Status SendWithFd(int socket, absl::string_view bytes, int fd, absl::string_view doing) {
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return SyscallError(errno, doing);
  if (static_cast<size_t>(sent) != bytes.size()) return SyscallError(EMSGSIZE, doing);
  return absl::OkStatus();
}

absl::Status SendSync(int socket, char letter, absl::string_view text, int fd) {
  return SendWithFd(socket, absl::StrCat(absl::string_view(&letter, 1), text), fd,
                    "talk to the other half of a start");
}

absl::StatusOr<SyncMessage> ReceiveSync(int socket) {
  char buffer[8192];
  iovec part = {buffer, sizeof(buffer)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ssize_t got;
  do {
    got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  SyncMessage message;
  if (got < 0 && errno == ECONNRESET) return message;
  if (got < 0) return SyscallError(errno, "hear from the other half of a start");
  if (cmsghdr* c = CMSG_FIRSTHDR(&header);
      c != nullptr && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof(int));
    message.fd.Reset(fd);
  }
  if (got == 0) return message;
  message.letter = buffer[0];
  message.text.assign(buffer + 1, static_cast<size_t>(got) - 1);
  return message;
}

}  // namespace darse::container
