// The rules of Darse's table, as nft commands. Pure.
//
// How they meet the rules of others. In nftables a packet passes the base chains of all tables at a
// hook, in order of priority; an accept ends only the chain that says it, a drop is final. So:
//   - nothing here can open what another table drops. A published port is translated in prerouting
//   (priority dstnat, -100)
//     and then passes every forward chain of the host: "meta l4proto tcp ct original proto-dst
//     8080" matches it there. Input chains do not see it, as it is not delivered to the host.
//   - what is dropped here (traffic into a network that was not published, between networks, out of
//   an internal one) no
//     other table can let through.
//   - chain loopback (raw, -300): route_localnet is on for bridges, so that 127.0.0.1:<published>
//   works on the host;
//     packets with such addresses that come from a container are dropped before anything else sees
//     them.
//   - chain input (filter, 0) only drops: what containers of internal networks send to the host,
//   but for names.
// Traffic that has nothing to do with Darse's bridges passes untouched.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "libs/linux/nft/nft_driver.h"

namespace darse::nft {

// Replaces the table in one transaction, whether it was there or not.
std::string TableCommands(absl::string_view table, const std::vector<FirewallNetwork>& networks,
                          const std::vector<FirewallPort>& ports);
std::string DeleteTableCommands(absl::string_view table);
// `verb` is "add" or "delete".
std::string NetworkCommands(absl::string_view verb, absl::string_view table,
                            const FirewallNetwork& network);
std::string PortCommands(absl::string_view verb, absl::string_view table,
                         const std::vector<FirewallPort>& ports);

}  // namespace darse::nft
