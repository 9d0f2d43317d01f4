// The talk between the process that starts a container and the one that becomes it, until execve
// closes the child's end. One packet a message: a letter, then text; the terminal travels as an fd.
//
//   starter -> child   'G'  go: cgroup and id maps are in place, and what CanActEarly allows is
//   done
//                      'D'  done
//   child -> starter   'W'  a warning (text)
//                      'H'  namespaces and mounts are made: run the runtime's hooks, then say 'D'
//                      'T'  the terminal's master (fd)
//                      'L'  the seccomp listener (fd)
//                      'P'  pid of the process made inside other namespaces (text)
//                      'A'  in a user namespace, where it was not done before 'G': raise limits and
//                           hand over stdio, whose owner is to be this user (text "uid gid"), then
//                           say 'D'
//                      'R'  ready; waiting at the gate (create without start)
//                      'X'  about to execve: end-of-file now means it worked
//                      'F'  failed (an encoded failure)
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::container {

struct SyncMessage {
  char letter = 0;  // 0: end-of-file
  std::string text;
  UniqueFd fd;
};

// Both ends close-on-exec.
absl::Status MakeSyncPair(UniqueFd& starter, UniqueFd& child);
absl::Status SendSync(int socket, char letter, absl::string_view text = "", int fd = -1);
absl::StatusOr<SyncMessage> ReceiveSync(int socket);

// One message on any unix socket, with an fd unless that is negative.
absl::Status SendWithFd(int socket, absl::string_view bytes, int fd, absl::string_view doing);

}  // namespace darse::container
