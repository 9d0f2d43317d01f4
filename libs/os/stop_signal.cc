#include "libs/os/stop_signal.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace darse {

StopSignal::StopSignal() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  fd_.Reset(::signalfd(-1, &stop, SFD_CLOEXEC));
}

int StopSignal::Wait() {
  for (;;) {
    struct signalfd_siginfo signal;
    ssize_t n = ::read(fd_.get(), &signal, sizeof(signal));
    if (n == sizeof(signal)) return static_cast<int>(signal.ssi_signo);
    if (n < 0 && errno != EINTR) return SIGTERM;
  }
}

int StopSignal::Wait(absl::FunctionRef<void()> now_and_then) {
  constexpr int kFirstMs = 3'000, kEveryMs = 60'000;
  pollfd stop = {.fd = fd_.get(), .events = POLLIN};
  for (int timeout = kFirstMs; poll(&stop, 1, timeout) == 0; timeout = kEveryMs) now_and_then();
  return Wait();
}

}  // namespace darse
