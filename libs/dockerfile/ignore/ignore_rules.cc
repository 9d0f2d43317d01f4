#include "libs/dockerfile/ignore/ignore_rules.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace darse::dockerfile {
namespace {

// As Go's filepath.Clean, and without a first "/".
std::string Clean(absl::string_view pattern) {
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(pattern, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  return absl::StrJoin(parts, "/");
}

}  // namespace

absl::StatusOr<IgnoreRules> IgnoreRules::Parse(absl::string_view content, absl::string_view file) {
  IgnoreRules rules;
  absl::ConsumePrefix(&content, "\xEF\xBB\xBF");
  int number = 0;
  for (absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    if (absl::StartsWith(line, "#")) continue;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    bool take_back = absl::ConsumePrefix(&line, "!");
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(file, ":", number, ": \"!\" has no pattern"));
    }
    std::string pattern = Clean(line);
    // "/" and "." name the context itself, which is always there.
    if (pattern.empty()) continue;
    absl::StatusOr<Glob> glob = Glob::Parse(pattern, /*deep=*/true);
    if (!glob.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ":", number, ": ", glob.status().message()));
    }
    rules.has_take_back_ = rules.has_take_back_ || take_back;
    rules.rules_.push_back({*std::move(glob), take_back});
  }
  return rules;
}

bool IgnoreRules::Ignores(absl::string_view path) const {
  bool ignored = false;
  for (const Rule& rule : rules_) {
    // Nothing to learn from a rule that says what is already so.
    if (rule.take_back != ignored) continue;
    for (size_t end = path.size(); end != absl::string_view::npos && end > 0;
         end = path.rfind('/', end - 1)) {
      if (rule.glob.Matches(path.substr(0, end))) {
        ignored = !rule.take_back;
        break;
      }
      if (end == 0) break;
    }
  }
  return ignored;
}

bool IgnoreRules::CanSkipDirectory(absl::string_view path) const {
  return !has_take_back_ && Ignores(path);
}

}  // namespace darse::dockerfile
