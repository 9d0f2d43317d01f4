#include "libs/linux/netlink/netlink_driver.h"

#include "absl/strings/str_format.h"

namespace darse::netlink {

std::string MacToString(const MacAddress& mac) {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                         mac[5]);
}

}  // namespace darse::netlink
