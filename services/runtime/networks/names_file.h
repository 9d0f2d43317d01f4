// The files from which darse-dns answers: <run>/dns/<interface>.names, one a network. The format is
// drawn in services/resolver/README.md. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "services/runtime/networks/network.h"
#include "services/runtime/networks/network_store.h"

namespace darse::runtime {

// `attached`: those with a place on the network that run.
std::string NamesFile(const Network& network, const std::vector<Attachment>& attached);

// A container's /etc/resolv.conf: the servers, and search and options of the host's unless `search`
// is given. `ask_darse`: names without a dot are asked as they are first, as they may be
// containers'.
std::string ResolvConf(absl::string_view host_conf, const std::vector<std::string>& servers,
                       const std::vector<std::string>& search, bool ask_darse);

}  // namespace darse::runtime
