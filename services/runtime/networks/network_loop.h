// Looks every few seconds whether the host still has what the networks need.
#pragma once

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/runtime/networks/network_engine.h"

namespace darse::runtime {

// Owns a thread from Start to its destruction.
class NetworkLoop {
 public:
  explicit NetworkLoop(NetworkEngine& engine, absl::Duration every = absl::Seconds(5))
      : engine_(engine), every_(every) {}
  ~NetworkLoop();
  NetworkLoop(const NetworkLoop&) = delete;
  NetworkLoop& operator=(const NetworkLoop&) = delete;

  // After NetworkEngine::Recover; once only.
  void Start();

 private:
  void Run();

  NetworkEngine& engine_;
  const absl::Duration every_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace darse::runtime
