#include "tools/oci/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"
#include "libs/container/sync_socket.h"

namespace darse::ocitool {
namespace {

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t wrote = write(fd, data, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    data += wrote;
    size -= static_cast<size_t>(wrote);
  }
  return true;
}

// False at the end of `from`.
bool CopyOnce(int from, int to) {
  char buffer[4096];
  ssize_t got = read(from, buffer, sizeof(buffer));
  if (got < 0 && errno == EINTR) return true;
  return got > 0 && WriteAll(to, buffer, static_cast<size_t>(got));
}

void CopySize(int master) {
  winsize size;
  if (ioctl(0, TIOCGWINSZ, &size) == 0) ioctl(master, TIOCSWINSZ, &size);
}

}  // namespace

absl::Status SendConsole(const std::string& path, int master) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("console socket: the path is too long");
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd console(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(console.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    return SyscallError(errno, absl::StrCat("connect to console socket ", path));
  }
  return container::SendSync(console.get(), '/', "dev/ptmx", master);
}

void HoldChildSignal() {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
}

sigset_t HoldSignals() {
  sigset_t passed;
  sigfillset(&passed);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPIPE, SIGURG})
    sigdelset(&passed, fault);
  sigprocmask(SIG_BLOCK, &passed, nullptr);
  return passed;
}

absl::StatusOr<int> Accompany(pid_t pid, int master) {
  sigset_t passed = HoldSignals();
  signal(SIGPIPE, SIG_IGN);
  UniqueFd signals(signalfd(-1, &passed, SFD_CLOEXEC));
  if (!signals.valid()) return SyscallError(errno, "signalfd");

  termios cooked;
  bool raw = master >= 0 && tcgetattr(0, &cooked) == 0;
  absl::Cleanup restore = [&] {
    if (raw) tcsetattr(0, TCSANOW, &cooked);
  };
  if (raw) {
    termios uncooked = cooked;
    cfmakeraw(&uncooked);
    tcsetattr(0, TCSANOW, &uncooked);
    CopySize(master);
  }
  pollfd wait[3] = {{.fd = signals.get(), .events = POLLIN},
                    {.fd = master, .events = POLLIN},
                    {.fd = master >= 0 ? 0 : -1, .events = POLLIN}};
  for (;;) {
    if (poll(wait, 3, -1) < 0 && errno != EINTR) return SyscallError(errno, "poll");
    if (wait[1].revents != 0 && !CopyOnce(master, 1)) wait[1].fd = -1;
    if (wait[2].revents != 0 && !CopyOnce(0, master)) wait[2].fd = -1;
    if (wait[0].revents == 0) continue;
    signalfd_siginfo info;
    if (read(signals.get(), &info, sizeof(info)) != sizeof(info)) continue;
    int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH && master >= 0) CopySize(master);
    if (signal != SIGCHLD) {
      if (signal != SIGWINCH) kill(pid, signal);
      continue;
    }
    int status = 0, code = -1;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended == pid) code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (code < 0) continue;
    // What the terminal still holds.
    if (wait[1].fd >= 0) {
      fcntl(master, F_SETFL, O_NONBLOCK);
      while (CopyOnce(master, 1)) {
      }
    }
    return code;
  }
}

}  // namespace darse::ocitool
