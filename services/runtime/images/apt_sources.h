// The host's apt sources, and what an image made from the same archive should have in its
// sources.list.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::runtime {

struct AptSource {
  std::string uri;
  std::string suite;
  std::vector<std::string> components;
};

// One-line format (sources.list, *.list); what is no binary source is left out.
std::vector<AptSource> ParseSourcesList(absl::string_view text);
// deb822 format (*.sources): a source for each URI and suite; disabled stanzas are left out.
std::vector<AptSource> ParseSourcesStanzas(absl::string_view text);

struct ArchivePlan {
  // For debootstrap.
  std::string mirror;
  // For the image: the suite itself first, then updates and security where the host has them.
  std::string sources_list;
};

// `mirror` empty: the host's own for that suite, else the host's for any other suite of the same
// distribution, else the distribution's well-known one.
ArchivePlan PlanArchive(const std::vector<AptSource>& host, absl::string_view suite,
                        absl::string_view mirror);

}  // namespace darse::runtime
