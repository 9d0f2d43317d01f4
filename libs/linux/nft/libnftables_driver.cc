#include "libs/linux/nft/libnftables_driver.h"

#include <nftables/libnftables.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/linux/nft/firewall_rules.h"

namespace darse::nft {

LibnftablesDriver::LibnftablesDriver(absl::string_view table)
    : table_(table), context_(nft_ctx_new(NFT_CTX_DEFAULT)) {
  nft_ctx_buffer_output(context_);
  nft_ctx_buffer_error(context_);
}

LibnftablesDriver::~LibnftablesDriver() { nft_ctx_free(context_); }

absl::Status LibnftablesDriver::Run(const std::string& commands) {
  if (commands.empty() || nft_run_cmd_from_buffer(context_, commands.c_str()) == 0) {
    return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat("changing nftables table ", table_, ": ",
                   absl::StripAsciiWhitespace(nft_ctx_get_error_buffer(context_))));
}

absl::Status LibnftablesDriver::RunTable(const Content& wanted) {
  std::vector<FirewallPort> ports;
  for (const auto& [key, port] : wanted.ports) ports.push_back(port);
  return Run(TableCommands(table_, {wanted.networks.begin(), wanted.networks.end()}, ports));
}

absl::Status LibnftablesDriver::Change(const std::string& commands, Content wanted) {
  if (!Run(commands).ok()) RETURN_IF_ERROR(RunTable(wanted));
  content_ = std::move(wanted);
  return absl::OkStatus();
}

absl::Status LibnftablesDriver::Replace(const std::vector<FirewallNetwork>& networks,
                                        const std::vector<FirewallPort>& ports) {
  absl::MutexLock lock(&mu_);
  Content wanted{.networks = {networks.begin(), networks.end()}};
  for (const FirewallPort& port : ports) {
    wanted.ports[{port.host_ip, port.protocol, port.host_port}] = port;
  }
  RETURN_IF_ERROR(RunTable(wanted));
  content_ = std::move(wanted);
  return absl::OkStatus();
}

absl::Status LibnftablesDriver::AddNetwork(const FirewallNetwork& network) {
  absl::MutexLock lock(&mu_);
  Content wanted = content_;
  if (!wanted.networks.insert(network).second) return absl::OkStatus();
  return Change(NetworkCommands("add", table_, network), std::move(wanted));
}

absl::Status LibnftablesDriver::RemoveNetwork(const FirewallNetwork& network) {
  absl::MutexLock lock(&mu_);
  Content wanted = content_;
  if (wanted.networks.erase(network) == 0) return absl::OkStatus();
  return Change(NetworkCommands("delete", table_, network), std::move(wanted));
}

absl::Status LibnftablesDriver::AddPorts(const std::vector<FirewallPort>& ports) {
  absl::MutexLock lock(&mu_);
  Content wanted = content_;
  std::vector<FirewallPort> old;
  std::vector<FirewallPort> added;
  for (const FirewallPort& port : ports) {
    const PortKey key{port.host_ip, port.protocol, port.host_port};
    auto there = wanted.ports.find(key);
    if (there != wanted.ports.end() && there->second == port) continue;
    if (there != wanted.ports.end()) old.push_back(there->second);
    added.push_back(port);
    wanted.ports[key] = port;
  }
  return Change(PortCommands("delete", table_, old) + PortCommands("add", table_, added),
                std::move(wanted));
}

absl::Status LibnftablesDriver::RemovePorts(const std::vector<FirewallPort>& ports) {
  absl::MutexLock lock(&mu_);
  Content wanted = content_;
  std::vector<FirewallPort> removed;
  for (const FirewallPort& port : ports) {
    auto there = wanted.ports.find({port.host_ip, port.protocol, port.host_port});
    // Somebody else may have the port by now.
    if (there == wanted.ports.end() || there->second != port) continue;
    removed.push_back(port);
    wanted.ports.erase(there);
  }
  return Change(PortCommands("delete", table_, removed), std::move(wanted));
}

absl::Status LibnftablesDriver::EnsureTable() {
  absl::MutexLock lock(&mu_);
  if (Run(absl::StrCat("list chain ip ", table_, " publish\n")).ok()) return absl::OkStatus();
  return RunTable(content_);
}

absl::StatusOr<std::vector<std::string>> LibnftablesDriver::ForwardDrops() {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Run("list chains\n"));
  std::vector<std::string> drops;
  std::string table;
  std::string chain;
  for (absl::string_view line : absl::StrSplit(nft_ctx_get_output_buffer(context_), '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() > 2 && words[0] == "table") {
      table = absl::StrCat(words[1], " ", words[2]);
    } else if (words.size() > 1 && words[0] == "chain") {
      chain = std::string(words[1]);
    } else if (absl::StrContains(line, "hook forward") && absl::StrContains(line, "policy drop")) {
      drops.push_back(absl::StrCat(table, " ", chain));
    }
  }
  return drops;
}

absl::Status LibnftablesDriver::DeleteTable() {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Run(DeleteTableCommands(table_)));
  content_ = {};
  return absl::OkStatus();
}

}  // namespace darse::nft
