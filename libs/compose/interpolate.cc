#include "libs/compose/interpolate.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::compose {
namespace {

constexpr int kMaxDepth = 20;

bool IsNameStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsNamePart(char c) { return absl::ascii_isalnum(c) || c == '_'; }

size_t NameLength(absl::string_view text) {
  if (text.empty() || !IsNameStart(text[0])) return 0;
  size_t length = 1;
  while (length < text.size() && IsNamePart(text[length])) ++length;
  return length;
}

// Of the "}" that closes a "${" whose inside begins at `from`; npos if none does.
size_t ClosingBrace(absl::string_view text, size_t from) {
  int depth = 1;
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '$') {
      ++i;
    } else if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '{') {
      ++depth;
      ++i;
    } else if (text[i] == '}' && --depth == 0) {
      return i;
    }
  }
  return absl::string_view::npos;
}

class Interpolator {
 public:
  Interpolator(Lookup lookup, std::set<std::string>* unset) : lookup_(lookup), unset_(unset) {}

  absl::StatusOr<std::string> Expand(absl::string_view text, int depth) {
    if (depth > kMaxDepth) return absl::InvalidArgumentError("variables nested too deep");
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '$') {
        out += text[i];
        continue;
      }
      const absl::string_view rest = text.substr(i + 1);
      if (absl::StartsWith(rest, "$")) {
        out += '$';
        ++i;
      } else if (absl::StartsWith(rest, "{")) {
        const size_t end = ClosingBrace(text, i + 2);
        if (end == absl::string_view::npos) return Malformed(text.substr(i), "\"}\" is missing");
        ASSIGN_OR_RETURN(std::string value, ExpandBraces(text.substr(i + 2, end - i - 2), depth));
        out += value;
        i = end;
      } else if (const size_t length = NameLength(rest); length > 0) {
        out += ValueOrEmpty(rest.substr(0, length));
        i += length;
      } else {
        return Malformed(text.substr(i), "write \"$$\" for a dollar sign");
      }
    }
    return out;
  }

 private:
  static absl::Status Malformed(absl::string_view where, absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("bad variable at \"", where.substr(0, 40), "\": ", why));
  }

  std::string ValueOrEmpty(absl::string_view name) {
    std::optional<std::string> value = lookup_(name);
    if (!value && unset_ != nullptr) unset_->insert(std::string(name));
    return value.value_or("");
  }

  absl::StatusOr<std::string> ExpandBraces(absl::string_view inside, int depth) {
    const size_t length = NameLength(inside);
    const absl::string_view name = inside.substr(0, length);
    absl::string_view rest = inside.substr(length);
    if (length == 0) return Malformed(absl::StrCat("${", inside, "}"), "a name is missing");
    if (rest.empty()) return ValueOrEmpty(name);
    const bool empty_counts_as_unset = rest[0] == ':';
    if (empty_counts_as_unset) rest.remove_prefix(1);
    if (rest.empty() || !absl::StrContains("-?+", rest[0])) {
      return Malformed(absl::StrCat("${", inside, "}"),
                       "expected :- - :? ? :+ or + after the name");
    }
    const char verb = rest[0];
    const absl::string_view word = rest.substr(1);
    const std::optional<std::string> value = lookup_(name);
    const bool present = value && !(empty_counts_as_unset && value->empty());
    if (verb == '+') return present ? Expand(word, depth + 1) : std::string();
    if (present) return *value;
    ASSIGN_OR_RETURN(std::string other, Expand(word, depth + 1));
    if (verb == '-') return other;
    return absl::InvalidArgumentError(
        absl::StrCat("variable ", name, " must be set", other.empty() ? "" : ": ", other));
  }

  Lookup lookup_;
  std::set<std::string>* unset_;
};

}  // namespace

absl::StatusOr<std::string> Interpolate(absl::string_view text, Lookup lookup,
                                        std::set<std::string>* unset) {
  return Interpolator(lookup, unset).Expand(text, 0);
}

}  // namespace darse::compose
