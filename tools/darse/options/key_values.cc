#include "tools/darse/options/key_values.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace darse::client {
namespace {

// Lines of an env file as docker reads it: no quotes, no interpolation; "#" begins a comment only
// at a line's start.
absl::StatusOr<std::vector<std::string>> LinesOf(absl::string_view file, Surroundings& around) {
  ASSIGN_OR_RETURN(std::string content, Annotate(around.ReadFile(file), "reading options"));
  std::vector<std::string> lines;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    absl::ConsumePrefix(&line, "\xEF\xBB\xBF");
    absl::ConsumeSuffix(&line, "\r");
    line = absl::StripLeadingAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const absl::string_view key = line.substr(0, line.find('='));
    if (key.empty() || absl::StrContains(key, " ")) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ":", number, ": \"", key, "\" is no name; write KEY=VALUE, a line each"));
    }
    lines.emplace_back(line);
  }
  return lines;
}

absl::StatusOr<std::vector<std::string>> Gather(const std::vector<std::string>& files,
                                                const std::vector<std::string>& options,
                                                Surroundings& around) {
  std::vector<std::string> all;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(std::vector<std::string> lines, LinesOf(file, around));
    all.insert(all.end(), lines.begin(), lines.end());
  }
  all.insert(all.end(), options.begin(), options.end());
  return all;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> EnvironmentFrom(const std::vector<std::string>& files,
                                                         const std::vector<std::string>& options,
                                                         Surroundings& around) {
  ASSIGN_OR_RETURN(std::vector<std::string> all, Gather(files, options, around));
  std::vector<std::string> environment;
  std::map<std::string, size_t> place;
  for (const std::string& item : all) {
    std::string setting = item;
    const size_t equals = item.find('=');
    const std::string key = item.substr(0, equals);
    if (key.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("-e \"", item, "\": write KEY=VALUE"));
    }
    if (equals == std::string::npos) {
      std::optional<std::string> value = around.Variable(key);
      if (!value) continue;
      setting = absl::StrCat(key, "=", *value);
    }
    auto [entry, is_new] = place.emplace(key, environment.size());
    if (is_new) {
      environment.push_back(std::move(setting));
    } else {
      environment[entry->second] = std::move(setting);
    }
  }
  return environment;
}

absl::StatusOr<std::map<std::string, std::string>> LabelsFrom(
    const std::vector<std::string>& files, const std::vector<std::string>& options,
    Surroundings& around) {
  ASSIGN_OR_RETURN(std::vector<std::string> all, Gather(files, options, around));
  std::map<std::string, std::string> labels;
  for (const std::string& item : all) {
    std::pair<std::string, std::string> pair = absl::StrSplit(item, absl::MaxSplits('=', 1));
    if (pair.first.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("label \"", item, "\": write KEY=VALUE"));
    }
    labels[pair.first] = pair.second;
  }
  return labels;
}

absl::StatusOr<std::map<std::string, std::string>> PairsFrom(
    absl::string_view flag, const std::vector<std::string>& options) {
  std::map<std::string, std::string> pairs;
  for (const std::string& option : options) {
    const size_t equals = option.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat(flag, " \"", option, "\": write KEY=VALUE"));
    }
    pairs[option.substr(0, equals)] = option.substr(equals + 1);
  }
  return pairs;
}

}  // namespace darse::client
