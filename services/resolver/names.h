// Who is called what on which network, as the runtime wrote it down; README.md draws the format of
// the files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace darse::resolver {

struct Host {
  uint32_t address = 0;
  std::string container_id;
  // Lower case; the first is the container's own.
  std::vector<std::string> names;
  // Servers asked for this container; empty: the host's.
  std::vector<std::string> forward;
};

struct NetworkNames {
  std::string name;
  // Where queries of this network come in, host order.
  uint32_t gateway = 0;
  // Nothing is asked outside for containers that have no other network.
  bool internal = false;
  std::vector<Host> hosts;
};

// INVALID_ARGUMENT names the line that is wrong.
absl::Status ParseNames(absl::string_view text, NetworkNames& names);

// Whose query it is: what it may see.
struct Client {
  // Of the container or, for the host itself, of the one asked.
  std::vector<const NetworkNames*> networks;
  bool may_ask_outside = true;
  std::vector<std::string> forward;
};

// One thread only. Pointers it answers hold until the next Put or Remove.
class NameTable {
 public:
  // Takes in a file under its name, over an earlier one. On an error the earlier one stays.
  absl::Status Put(const std::string& file, absl::string_view text);
  void Remove(const std::string& file) { networks_.erase(file); }
  std::vector<std::string> Files() const;
  // Where to listen.
  std::vector<uint32_t> Gateways() const;

  // False for an address that no container has and that is not the host's own.
  bool Find(uint32_t source, uint32_t gateway, Client& client) const;

  // Of a container's name, alias or "<name>.<network>", in one network; empty if there is none.
  std::vector<uint32_t> Addresses(const std::vector<const NetworkNames*>& networks,
                                  absl::string_view name) const;
  // "<name>.<network>"; empty if there is none.
  std::string NameOf(const std::vector<const NetworkNames*>& networks, uint32_t address) const;

 private:
  std::map<std::string, NetworkNames> networks_;
};

// The "nameserver" lines of a resolv.conf.
std::vector<std::string> NameServers(absl::string_view resolv_conf);

}  // namespace darse::resolver
