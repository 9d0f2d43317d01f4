// NftDriver without a kernel: keeps what it was told.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/linux/nft/nft_driver.h"

namespace darse::nft {

// Thread-safe.
class FakeNftDriver final : public NftDriver {
 public:
  absl::Status Replace(const std::vector<FirewallNetwork>& networks,
                       const std::vector<FirewallPort>& ports) override {
    absl::MutexLock lock(&mu_);
    networks_ = {networks.begin(), networks.end()};
    ports_ = {ports.begin(), ports.end()};
    return absl::OkStatus();
  }
  absl::Status AddNetwork(const FirewallNetwork& network) override {
    absl::MutexLock lock(&mu_);
    networks_.insert(network);
    return absl::OkStatus();
  }
  absl::Status RemoveNetwork(const FirewallNetwork& network) override {
    absl::MutexLock lock(&mu_);
    networks_.erase(network);
    return absl::OkStatus();
  }
  absl::Status AddPorts(const std::vector<FirewallPort>& ports) override {
    absl::MutexLock lock(&mu_);
    if (fail_next_) {
      fail_next_ = false;
      return absl::InternalError("the kernel says no");
    }
    for (const FirewallPort& port : ports) {
      std::erase_if(ports_, [&](const FirewallPort& there) {
        return there.host_ip == port.host_ip && there.host_port == port.host_port &&
               there.protocol == port.protocol;
      });
      ports_.insert(port);
    }
    return absl::OkStatus();
  }
  absl::Status RemovePorts(const std::vector<FirewallPort>& ports) override {
    absl::MutexLock lock(&mu_);
    for (const FirewallPort& port : ports) ports_.erase(port);
    return absl::OkStatus();
  }
  absl::Status EnsureTable() override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> ForwardDrops() override {
    absl::MutexLock lock(&mu_);
    return forward_drops_;
  }
  absl::Status DeleteTable() override { return Replace({}, {}); }

  // The next AddPorts is refused.
  void FailNext() {
    absl::MutexLock lock(&mu_);
    fail_next_ = true;
  }
  void SetForwardDrops(const std::vector<std::string>& chains) {
    absl::MutexLock lock(&mu_);
    forward_drops_ = chains;
  }
  std::vector<FirewallNetwork> networks() {
    absl::MutexLock lock(&mu_);
    return {networks_.begin(), networks_.end()};
  }
  std::vector<FirewallPort> ports() {
    absl::MutexLock lock(&mu_);
    return {ports_.begin(), ports_.end()};
  }

 private:
  absl::Mutex mu_;
  bool fail_next_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> forward_drops_ ABSL_GUARDED_BY(mu_);
  std::set<FirewallNetwork> networks_ ABSL_GUARDED_BY(mu_);
  std::set<FirewallPort> ports_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::nft
