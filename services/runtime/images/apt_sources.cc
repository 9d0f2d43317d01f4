#include "services/runtime/images/apt_sources.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace darse::runtime {
namespace {

constexpr char kWellKnown[] = "http://deb.debian.org/debian";
constexpr absl::string_view kUpdates = "-updates";
constexpr absl::string_view kSecurity = "-security";

std::vector<std::string> Words(absl::string_view text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
}

bool IsHttp(absl::string_view uri) {
  return absl::StartsWith(uri, "http://") || absl::StartsWith(uri, "https://");
}

// "bookworm-updates" → {"bookworm", "-updates"}
std::pair<std::string, std::string> SplitSuite(absl::string_view suite) {
  for (absl::string_view ending : {kUpdates, kSecurity}) {
    absl::string_view name = suite;
    if (absl::ConsumeSuffix(&name, ending)) return {std::string(name), std::string(ending)};
  }
  return {std::string(suite), ""};
}

void AddStanza(const std::map<std::string, std::string>& fields, std::vector<AptSource>* sources) {
  auto field = [&fields](const char* name) {
    auto found = fields.find(name);
    return found == fields.end() ? std::vector<std::string>() : Words(found->second);
  };
  std::vector<std::string> enabled = field("enabled");
  if (!enabled.empty() && absl::EqualsIgnoreCase(enabled[0], "no")) return;
  std::vector<std::string> types = field("types");
  if (std::set<std::string>(types.begin(), types.end()).count("deb") == 0) return;
  for (const std::string& uri : field("uris")) {
    for (const std::string& suite : field("suites")) {
      sources->push_back({uri, suite, field("components")});
    }
  }
}

}  // namespace

std::vector<AptSource> ParseSourcesList(absl::string_view text) {
  std::vector<AptSource> sources;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::string plain(line.substr(0, line.find('#')));
    size_t open = plain.find('[');
    size_t close = plain.find(']');
    if (open != std::string::npos && close != std::string::npos && close > open) {
      plain.erase(open, close - open + 1);
    }
    std::vector<std::string> words = Words(plain);
    if (words.size() < 3 || words[0] != "deb") continue;
    sources.push_back({words[1], words[2], {words.begin() + 3, words.end()}});
  }
  return sources;
}

std::vector<AptSource> ParseSourcesStanzas(absl::string_view text) {
  std::vector<AptSource> sources;
  std::map<std::string, std::string> fields;
  std::string* last = nullptr;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "#")) continue;
    if (absl::StripAsciiWhitespace(line).empty()) {
      AddStanza(fields, &sources);
      fields.clear();
      last = nullptr;
    } else if (absl::ascii_isspace(line[0])) {
      if (last != nullptr) absl::StrAppend(last, " ", line);
    } else if (size_t colon = line.find(':'); colon != absl::string_view::npos) {
      last = &fields[absl::AsciiStrToLower(line.substr(0, colon))];
      *last = std::string(line.substr(colon + 1));
    }
  }
  AddStanza(fields, &sources);
  return sources;
}

ArchivePlan PlanArchive(const std::vector<AptSource>& host, absl::string_view suite,
                        absl::string_view mirror) {
  ArchivePlan plan{.mirror = std::string(mirror)};
  if (!mirror.empty()) {
    plan.sources_list = absl::StrCat("deb ", mirror, " ", suite, " main\n");
    return plan;
  }
  // The release whose sources serve as a pattern: the wanted one, else the first that has a main
  // suite of Debian's.
  std::string pattern;
  for (const AptSource& source : host) {
    auto [release, ending] = SplitSuite(source.suite);
    absl::string_view path = absl::StripSuffix(source.uri, "/");
    if (!IsHttp(source.uri) || !ending.empty()) continue;
    if (release == suite) pattern = release;
    if (pattern.empty() && absl::EndsWith(path, "/debian")) pattern = release;
  }
  std::map<std::string, std::string> uris;
  for (const AptSource& source : host) {
    auto [release, ending] = SplitSuite(source.suite);
    if (!pattern.empty() && release == pattern && IsHttp(source.uri)) {
      uris.emplace(ending, source.uri);
    }
  }
  uris.emplace("", kWellKnown);
  plan.mirror = uris.at("");
  std::vector<std::string> lines;
  for (const auto& [ending, uri] : uris) {
    lines.push_back(absl::StrCat("deb ", uri, " ", suite, ending, " main"));
  }
  plan.sources_list = absl::StrCat(absl::StrJoin(lines, "\n"), "\n");
  return plan;
}

}  // namespace darse::runtime
