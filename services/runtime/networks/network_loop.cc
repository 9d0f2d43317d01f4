#include "services/runtime/networks/network_loop.h"

#include <string>

#include "libs/base/log.h"

namespace darse::runtime {

NetworkLoop::~NetworkLoop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void NetworkLoop::Start() {
  for (const std::string& change : engine_.HostChanges()) {
    Log(LogLevel::kInfo, "this host was changed for containers", {{"change", change}});
  }
  for (const std::string& warning : engine_.Warnings()) {
    Log(LogLevel::kWarning, "containers may be cut off", {{"why", warning}});
  }
  thread_ = std::thread([this] { Run(); });
}

void NetworkLoop::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), every_)) return;
    }
    const absl::Status healed = engine_.Heal();
    if (!healed.ok()) {
      Log(LogLevel::kWarning, "networks are not whole", {{"why", healed.ToString()}});
    }
  }
}

}  // namespace darse::runtime
