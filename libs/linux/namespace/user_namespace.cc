#include "libs/linux/namespace/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/namespace/namespace.h"

namespace darse::ns {
namespace {

struct Pipe {
  UniqueFd reader, writer;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return SyscallError(errno, "pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

char ReadOne(int fd) {
  char byte = 0;
  while (read(fd, &byte, 1) < 0 && errno == EINTR) {
  }
  return byte;
}

constexpr char kThere = '1', kFailed = '0';

// A process in new namespaces that is there to be looked at. It is made as vfork does, which costs
// a large process nothing: it shares our memory and descriptors (a copy would keep those of others
// from being closed), and the thread that makes it sleeps until it ends.
class Resident {
 public:
  explicit Resident(uint64_t flags) : flags_(static_cast<int>(flags)) {}
  ~Resident() {
    if (!maker_.joinable()) return;
    while (write(go_.writer.get(), &kThere, 1) < 0 && errno == EINTR) {
    }
    maker_.join();
  }

  absl::StatusOr<pid_t> Make() {
    ASSIGN_OR_RETURN(ready_, MakePipe());
    ASSIGN_OR_RETURN(go_, MakePipe());
    maker_ = std::thread([this] { CloneAndWait(); });
    if (ReadOne(ready_.reader.get()) == kThere) return pid_;
    return SyscallError(error_, "make a user namespace");
  }

 private:
  void CloneAndWait() {
    // No handler of ours is to run there.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::vector<char> stack(64 << 10);
    int pid =
        clone(&Resident::Stay, stack.data() + stack.size(),
              flags_ | CLONE_VM | CLONE_FILES | CLONE_VFORK | CLONE_PARENT_SETTID, this, &pid_);
    if (pid < 0) {
      error_ = errno;
      if (write(ready_.writer.get(), &kFailed, 1) != 1) ready_.writer.Reset();
      return;
    }
    while (waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }

  static int Stay(void* resident) {
    auto* self = static_cast<Resident*>(resident);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self->parent_) return 1;
    if (write(self->ready_.writer.get(), &kThere, 1) == 1) ReadOne(self->go_.reader.get());
    return 0;
  }

  const int flags_;
  const pid_t parent_ = getpid();
  Pipe ready_, go_;
  pid_t pid_ = 0;
  int error_ = 0;
  std::thread maker_;
};

absl::StatusOr<UniqueFd> OpenNamespace(pid_t pid, uint64_t flag) {
  std::string path = absl::StrCat("/proc/", pid, "/ns/", ProcName(flag));
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> MakeUserNamespace(const IdMaps& maps) {
  Resident resident(CLONE_NEWUSER);
  ASSIGN_OR_RETURN(pid_t pid, resident.Make());
  RETURN_IF_ERROR(WriteIdMaps(pid, maps));
  return OpenNamespace(pid, CLONE_NEWUSER);
}

absl::StatusOr<UserAndNetwork> MakeUserAndNetwork(const IdMaps& maps) {
  Resident resident(CLONE_NEWUSER | CLONE_NEWNET);
  ASSIGN_OR_RETURN(pid_t pid, resident.Make());
  RETURN_IF_ERROR(WriteIdMaps(pid, maps));
  UserAndNetwork made;
  ASSIGN_OR_RETURN(made.user, OpenNamespace(pid, CLONE_NEWUSER));
  ASSIGN_OR_RETURN(made.network, OpenNamespace(pid, CLONE_NEWNET));
  return made;
}

absl::StatusOr<IdMaps> MapsOfUserNamespace(int user_namespace) {
  ASSIGN_OR_RETURN(Pipe ready, MakePipe());
  pid_t self = getpid();
  ASSIGN_OR_RETURN(Cloned child, Clone({}));
  if (child.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self && getppid() != 0) _exit(1);
    char done = Join(user_namespace, CLONE_NEWUSER).ok() ? kThere : kFailed;
    if (write(ready.writer.get(), &done, 1) != 1) _exit(1);
    for (;;) pause();
  }
  absl::Cleanup reap = [&] {
    kill(child.pid, SIGKILL);
    while (waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  };
  ready.writer.Reset();
  if (ReadOne(ready.reader.get()) != kThere) {
    return absl::PermissionDeniedError("enter a user namespace");
  }
  return ReadIdMaps(child.pid);
}

}  // namespace darse::ns
