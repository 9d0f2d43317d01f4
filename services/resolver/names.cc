#include "services/resolver/names.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace darse::resolver {
namespace {

using Words = std::vector<absl::string_view>;

bool ParseAddress(absl::string_view text, uint32_t& address) {
  in_addr parsed;
  if (inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) return false;
  address = ntohl(parsed.s_addr);
  return true;
}

bool TakeNetwork(const Words& words, NetworkNames& names) {
  if (words.size() < 3 || words.size() > 4 || !ParseAddress(words[2], names.gateway)) return false;
  names.name = absl::AsciiStrToLower(words[1]);
  names.internal = words.size() == 4;
  return words.size() == 3 || words[3] == "internal";
}

bool TakeHost(const Words& words, NetworkNames& names) {
  Host host;
  if (words.size() < 4 || !ParseAddress(words[1], host.address)) return false;
  host.container_id = std::string(words[2]);
  for (size_t i = 3; i < words.size(); ++i) {
    host.names.push_back(absl::AsciiStrToLower(words[i]));
  }
  names.hosts.push_back(std::move(host));
  return true;
}

bool TakeForward(const Words& words, NetworkNames& names) {
  uint32_t address = 0;
  if (words.size() < 3 || !ParseAddress(words[1], address)) return false;
  for (Host& host : names.hosts) {
    if (host.address != address) continue;
    host.forward.clear();
    for (size_t i = 2; i < words.size(); ++i) host.forward.emplace_back(words[i]);
  }
  return true;
}

}  // namespace

absl::Status ParseNames(absl::string_view text, NetworkNames& names) {
  names = {};
  int number = 0;
  bool ended = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const Words words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    bool good = !ended;
    if (number == 1) {
      good = line == "darse-names 1";
    } else if (words[0] == "network") {
      good = good && names.gateway == 0 && TakeNetwork(words, names);
    } else if (words[0] == "host") {
      good = good && TakeHost(words, names);
    } else if (words[0] == "forward") {
      good = good && TakeForward(words, names);
    } else if (words[0] == "end") {
      ended = true;
    } else {
      good = false;
    }
    if (!good) return absl::InvalidArgumentError(absl::StrCat("line ", number, ": \"", line, "\""));
  }
  if (!ended || names.gateway == 0) return absl::InvalidArgumentError("the file is cut short");
  return absl::OkStatus();
}

absl::Status NameTable::Put(const std::string& file, absl::string_view text) {
  NetworkNames names;
  const absl::Status status = ParseNames(text, names);
  if (status.ok()) networks_[file] = std::move(names);
  return status;
}

std::vector<std::string> NameTable::Files() const {
  std::vector<std::string> files;
  for (const auto& [file, names] : networks_) files.push_back(file);
  return files;
}

std::vector<uint32_t> NameTable::Gateways() const {
  std::vector<uint32_t> gateways;
  for (const auto& [file, names] : networks_) gateways.push_back(names.gateway);
  return gateways;
}

bool NameTable::Find(uint32_t source, uint32_t gateway, Client& client) const {
  client = {};
  const Host* self = nullptr;
  for (const auto& [file, names] : networks_) {
    // The host, which asks with the address it asks.
    if (source == gateway && names.gateway == gateway) client.networks.push_back(&names);
    for (const Host& host : names.hosts) {
      if (host.address == source) self = &host;
    }
  }
  if (self == nullptr) return !client.networks.empty();
  client.forward = self->forward;
  client.may_ask_outside = false;
  for (const auto& [file, names] : networks_) {
    const bool mine = std::any_of(names.hosts.begin(), names.hosts.end(), [&](const Host& host) {
      return host.container_id == self->container_id;
    });
    if (!mine) continue;
    client.may_ask_outside = client.may_ask_outside || !names.internal;
    // The network that was asked comes first.
    client.networks.insert(
        names.gateway == gateway ? client.networks.begin() : client.networks.end(), &names);
  }
  return true;
}

std::vector<uint32_t> NameTable::Addresses(const std::vector<const NetworkNames*>& networks,
                                           absl::string_view name) const {
  for (const NetworkNames* network : networks) {
    std::vector<uint32_t> addresses;
    for (const Host& host : network->hosts) {
      for (const std::string& candidate : host.names) {
        if (name == candidate || name == absl::StrCat(candidate, ".", network->name)) {
          addresses.push_back(host.address);
          break;
        }
      }
    }
    if (!addresses.empty()) return addresses;
  }
  return {};
}

std::string NameTable::NameOf(const std::vector<const NetworkNames*>& networks,
                              uint32_t address) const {
  for (const NetworkNames* network : networks) {
    for (const Host& host : network->hosts) {
      if (host.address == address) return absl::StrCat(host.names.front(), ".", network->name);
    }
  }
  return "";
}

std::vector<std::string> NameServers(absl::string_view resolv_conf) {
  std::vector<std::string> servers;
  for (absl::string_view line : absl::StrSplit(resolv_conf, '\n')) {
    const Words words = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.size() >= 2 && words[0] == "nameserver") servers.emplace_back(words[1]);
  }
  return servers;
}

}  // namespace darse::resolver
