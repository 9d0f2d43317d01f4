#include "tools/darse/session/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <atomic>

namespace darse::client {
namespace {

std::atomic<int> write_to{-1};

void Forward(int number) {
  const int saved = errno;
  const char byte = static_cast<char>(number);
  if (int fd = write_to.load(); fd >= 0 && write(fd, &byte, 1) < 0) {
    // The pipe is full of signals that nobody has read yet: this one adds nothing.
  }
  errno = saved;
}

void End(int number) { _exit(128 + number); }

void Handle(int number, void (*handler)(int), struct sigaction* before) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, before);
}

}  // namespace

void InstallDefaultSignals() {
  Handle(SIGINT, End, nullptr);
  Handle(SIGTERM, End, nullptr);
  Handle(SIGPIPE, SIG_IGN, nullptr);
}

CaughtSignals::CaughtSignals(std::initializer_list<int> signals) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  read_.Reset(ends[0]);
  write_.Reset(ends[1]);
  write_to.store(write_.get());
  for (int number : signals) Handle(number, Forward, &before_[number]);
}

CaughtSignals::~CaughtSignals() {
  for (const auto& [number, action] : before_) sigaction(number, &action, nullptr);
  write_to.store(-1);
}

int CaughtSignals::Next() {
  unsigned char byte = 0;
  return read(read_.get(), &byte, 1) == 1 ? byte : 0;
}

int CaughtSignals::Wait(int other, int timeout_ms) {
  pollfd fds[2] = {{read_.get(), POLLIN, 0}, {other, POLLIN, 0}};
  while (poll(fds, 2, timeout_ms) < 0 && errno == EINTR) {
  }
  return Next();
}

const char* SignalName(int number) {
  const char* name = sigabbrev_np(number);
  return name != nullptr ? name : "";
}

}  // namespace darse::client
