// Signals as something to poll for. Nothing is done in the handler but writing a byte.
#pragma once

#include <signal.h>

#include <initializer_list>
#include <map>

#include "libs/base/unique_fd.h"

namespace darse::client {

// Without a CaughtSignals alive, Ctrl-C and SIGTERM end the program with 130 and 143.
void InstallDefaultSignals();

// Catches `signals` while it lives; at most one object at a time.
class CaughtSignals {
 public:
  explicit CaughtSignals(std::initializer_list<int> signals);
  ~CaughtSignals();
  CaughtSignals(const CaughtSignals&) = delete;
  CaughtSignals& operator=(const CaughtSignals&) = delete;

  // Readable when Next() has something.
  int fd() const { return read_.get(); }
  // The oldest signal caught, or 0.
  int Next();
  // Waits for one, or answers 0 when `other` became readable or `timeout_ms` passed (-1: never).
  int Wait(int other, int timeout_ms);

 private:
  UniqueFd read_;
  UniqueFd write_;
  std::map<int, struct sigaction> before_;
};

// "INT" for SIGINT.
const char* SignalName(int number);

}  // namespace darse::client
