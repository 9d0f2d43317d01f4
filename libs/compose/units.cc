#include "libs/compose/units.h"

#include <cmath>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace darse::compose {
namespace {

std::optional<double> ParseNumber(absl::string_view text) {
  double value = 0;
  if (text.empty() || !(absl::ascii_isdigit(text[0]) || text[0] == '.') ||
      !absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

size_t NumberLength(absl::string_view text) {
  size_t length = 0;
  while (length < text.size() && (absl::ascii_isdigit(text[length]) || text[length] == '.'))
    ++length;
  return length;
}

}  // namespace

std::optional<int64_t> ParseBytes(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  const size_t length = NumberLength(text);
  const std::optional<double> number = ParseNumber(text.substr(0, length));
  if (!number) return std::nullopt;
  static const auto* const kExponents = new std::map<std::string, int>{
      {"", 0},    {"b", 0}, {"k", 1},  {"kb", 1},  {"kib", 1}, {"m", 2},  {"mb", 2},
      {"mib", 2}, {"g", 3}, {"gb", 3}, {"gib", 3}, {"t", 4},   {"tb", 4}, {"tib", 4}};
  const auto unit =
      kExponents->find(absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(length))));
  if (unit == kExponents->end()) return std::nullopt;
  const double bytes = *number * std::pow(1024.0, unit->second);
  if (bytes >= 9.2e18) return std::nullopt;
  return static_cast<int64_t>(bytes);
}

std::optional<absl::Duration> ParseDuration(absl::string_view text) {
  if (text == "0") return absl::ZeroDuration();
  if (text.empty()) return std::nullopt;
  absl::Duration sum;
  while (!text.empty()) {
    const size_t length = NumberLength(text);
    const std::optional<double> number = ParseNumber(text.substr(0, length));
    if (!number) return std::nullopt;
    text.remove_prefix(length);
    // Longer units first: "ms" is no "m".
    static const std::pair<absl::string_view, absl::Duration> kUnits[] = {
        {"ns", absl::Nanoseconds(1)},  {"us", absl::Microseconds(1)}, {"µs", absl::Microseconds(1)},
        {"ms", absl::Milliseconds(1)}, {"s", absl::Seconds(1)},       {"m", absl::Minutes(1)},
        {"h", absl::Hours(1)},
    };
    bool found = false;
    for (const auto& [unit, one] : kUnits) {
      if (!absl::ConsumePrefix(&text, unit)) continue;
      sum += one * *number;
      found = true;
      break;
    }
    if (!found) return std::nullopt;
  }
  if (sum > absl::Hours(24 * 3650)) return std::nullopt;
  return sum;
}

std::optional<int64_t> ParseNanoCpus(absl::string_view text) {
  const std::optional<double> cores = ParseNumber(text);
  if (!cores || NumberLength(text) != text.size() || *cores > 1e6) return std::nullopt;
  return static_cast<int64_t>(std::llround(*cores * 1e9));
}

absl::StatusOr<std::vector<std::string>> SplitWords(absl::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\'') {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\\' && i + 1 < text.size()) {
      const char next = text[++i];
      // Inside double quotes a backslash only escapes what would be special there.
      if (quote == '"' && !absl::StrContains("\"\\$`", next)) word += c;
      if (next != '\n') word += next;
      in_word = true;
    } else if (quote == '"') {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (absl::ascii_isspace(c)) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return absl::InvalidArgumentError("a quote is not closed");
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::string AbsolutePath(absl::string_view path, absl::string_view directory,
                         absl::string_view home) {
  std::string whole;
  if (path == "~" || absl::StartsWith(path, "~/")) {
    whole = absl::StrCat(home, path.substr(1));
  } else if (absl::StartsWith(path, "/")) {
    whole = std::string(path);
  } else {
    whole = absl::StrCat(directory, "/", path);
  }
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(whole, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

}  // namespace darse::compose
