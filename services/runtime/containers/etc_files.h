// The texts of /etc/hosts and /etc/hostname inside a container. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace darse::runtime {

struct HostsInput {
  std::string hostname;
  std::string name;
  // Of the container, on each of its networks.
  std::vector<std::string> addresses;
  // For "host-gateway"; empty: lines that need it are left out.
  std::string gateway;
  // "name:address".
  std::vector<std::string> extra_hosts;
};

std::string HostsFile(const HostsInput& input);

}  // namespace darse::runtime
