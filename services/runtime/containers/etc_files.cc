#include "services/runtime/containers/etc_files.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace darse::runtime {

std::string HostsFile(const HostsInput& input) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::0\tip6-localnet\n"
      "ff00::0\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& line : input.extra_hosts) {
    std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (parts.second == "host-gateway") parts.second = input.gateway;
    if (!parts.second.empty()) absl::StrAppend(&text, parts.second, "\t", parts.first, "\n");
  }
  for (const std::string& address : input.addresses) {
    absl::StrAppend(&text, address, "\t", input.hostname);
    if (!input.name.empty() && input.name != input.hostname)
      absl::StrAppend(&text, " ", input.name);
    absl::StrAppend(&text, "\n");
  }
  return text;
}

}  // namespace darse::runtime
