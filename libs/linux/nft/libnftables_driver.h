// NftDriver over libnftables, in the network namespace of the calling thread.
#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/linux/nft/nft_driver.h"

struct nft_ctx;

namespace darse::nft {

// Thread-safe; one transaction at a time. Remembers what the table should hold: when a change does
// not fit what the kernel has (somebody ran "nft flush ruleset", a firewall was reloaded), the
// whole table is written again.
class LibnftablesDriver final : public NftDriver {
 public:
  // `table`: [a-zA-Z_][a-zA-Z0-9_]*, owned by this driver alone.
  explicit LibnftablesDriver(absl::string_view table);
  ~LibnftablesDriver() override;

  absl::Status Replace(const std::vector<FirewallNetwork>& networks,
                       const std::vector<FirewallPort>& ports) override;
  absl::Status AddNetwork(const FirewallNetwork& network) override;
  absl::Status RemoveNetwork(const FirewallNetwork& network) override;
  absl::Status AddPorts(const std::vector<FirewallPort>& ports) override;
  absl::Status RemovePorts(const std::vector<FirewallPort>& ports) override;
  absl::Status EnsureTable() override;
  absl::StatusOr<std::vector<std::string>> ForwardDrops() override;
  absl::Status DeleteTable() override;

 private:
  // What the kernel looks an element up by.
  using PortKey = std::tuple<std::string, std::string, uint16_t>;
  struct Content {
    std::set<FirewallNetwork> networks;
    std::map<PortKey, FirewallPort> ports;
  };

  absl::Status Run(const std::string& commands) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status RunTable(const Content& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs the commands, or writes the whole table if they do not fit; then `wanted` is what there
  // is.
  absl::Status Change(const std::string& commands, Content wanted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string table_;
  absl::Mutex mu_;
  nft_ctx* context_ ABSL_GUARDED_BY(mu_) ABSL_PT_GUARDED_BY(mu_);
  Content content_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::nft
