#include "services/runtime/networks/names_file.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace darse::runtime {
namespace {

constexpr size_t kShortId = 12;

void AppendHost(std::string& file, const Attachment& attachment, const EndpointRow& endpoint) {
  std::vector<std::string> names{attachment.container_name,
                                 attachment.container_id.substr(0, kShortId)};
  for (const std::string& alias : endpoint.aliases) {
    if (std::find(names.begin(), names.end(), alias) == names.end()) names.push_back(alias);
  }
  const std::string address = endpoint.address.ToString();
  absl::StrAppend(&file, "host ", address, " ", attachment.container_id, " ",
                  absl::StrJoin(names, " "), "\n");
  if (!attachment.dns.empty()) {
    absl::StrAppend(&file, "forward ", address, " ", absl::StrJoin(attachment.dns, " "), "\n");
  }
}

}  // namespace

std::string NamesFile(const Network& network, const std::vector<Attachment>& attached) {
  std::string file = absl::StrCat("darse-names 1\nnetwork ", network.name, " ", network.gateway,
                                  network.internal ? " internal\n" : "\n");
  for (const Attachment& attachment : attached) {
    for (const EndpointRow& endpoint : attachment.endpoints) {
      if (endpoint.network_id == network.id) AppendHost(file, attachment, endpoint);
    }
  }
  return file + "end\n";
}

std::string ResolvConf(absl::string_view host_conf, const std::vector<std::string>& servers,
                       const std::vector<std::string>& search, bool ask_darse) {
  std::string conf;
  for (const std::string& server : servers) absl::StrAppend(&conf, "nameserver ", server, "\n");
  std::vector<absl::string_view> options;
  for (absl::string_view line : absl::StrSplit(host_conf, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.empty()) continue;
    if ((words[0] == "search" || words[0] == "domain") && search.empty()) {
      absl::StrAppend(&conf, line, "\n");
    } else if (words[0] == "nameserver" && servers.empty()) {
      absl::StrAppend(&conf, line, "\n");
    } else if (words[0] == "options") {
      std::copy_if(words.begin() + 1, words.end(), std::back_inserter(options),
                   [&](absl::string_view option) {
                     return !ask_darse || !absl::StartsWith(option, "ndots:");
                   });
    }
  }
  // A lone dot means no search domain, as docker's --dns-search=. does.
  if (!search.empty() && search != std::vector<std::string>{"."}) {
    absl::StrAppend(&conf, "search ", absl::StrJoin(search, " "), "\n");
  }
  if (ask_darse) options.push_back("ndots:0");
  if (!options.empty()) absl::StrAppend(&conf, "options ", absl::StrJoin(options, " "), "\n");
  return conf;
}

}  // namespace darse::runtime
