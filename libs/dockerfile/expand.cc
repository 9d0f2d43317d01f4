#include "libs/dockerfile/expand.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::dockerfile {
namespace {

// Each nested ${x:-${y:-…}} is one recursion.
constexpr int kMaxDepth = 50;

bool IsNameStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '_'; }

// A shell pattern: * ? and escaped characters. `ends[i]` is true if a match of text[0, i) exists.
struct PatternToken {
  enum Kind { kChar, kAny, kStar } kind;
  char c = 0;
};

std::vector<PatternToken> ParsePattern(absl::string_view pattern) {
  std::vector<PatternToken> tokens;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '*') {
      tokens.push_back({PatternToken::kStar});
    } else if (pattern[i] == '?') {
      tokens.push_back({PatternToken::kAny});
    } else {
      if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
      tokens.push_back({PatternToken::kChar, pattern[i]});
    }
  }
  return tokens;
}

// For each length 0…text.size(): does the pattern match exactly that prefix? Linear in pattern ×
// text.
std::vector<bool> MatchingPrefixes(const std::vector<PatternToken>& pattern,
                                   absl::string_view text) {
  std::vector<bool> at(text.size() + 1, false);
  at[0] = true;
  for (const PatternToken& token : pattern) {
    std::vector<bool> next(text.size() + 1, false);
    bool reached = false;
    for (size_t i = 0; i <= text.size(); ++i) {
      if (token.kind == PatternToken::kStar) {
        reached = reached || at[i];
        next[i] = reached;
      } else if (at[i] && i < text.size() &&
                 (token.kind == PatternToken::kAny || text[i] == token.c)) {
        next[i + 1] = true;
      }
    }
    at = std::move(next);
  }
  return at;
}

std::string RemovePrefix(absl::string_view text, absl::string_view pattern, bool longest) {
  std::vector<bool> matches = MatchingPrefixes(ParsePattern(pattern), text);
  size_t cut = 0;
  for (size_t i = 0; i < matches.size(); ++i) {
    if (!matches[i]) continue;
    cut = i;
    if (!longest) break;
  }
  return std::string(text.substr(cut));
}

std::string RemoveSuffix(absl::string_view text, absl::string_view pattern, bool longest) {
  std::vector<PatternToken> tokens = ParsePattern(pattern);
  std::vector<PatternToken> backwards(tokens.rbegin(), tokens.rend());
  std::string reversed(text.rbegin(), text.rend());
  std::vector<bool> matches = MatchingPrefixes(backwards, reversed);
  size_t cut = 0;
  for (size_t i = 0; i < matches.size(); ++i) {
    if (!matches[i]) continue;
    cut = i;
    if (!longest) break;
  }
  return std::string(text.substr(0, text.size() - cut));
}

std::string Replace(absl::string_view text, absl::string_view pattern, absl::string_view with,
                    bool all) {
  if (pattern.empty()) return std::string(text);
  std::vector<PatternToken> tokens = ParsePattern(pattern);
  std::string out;
  while (!text.empty()) {
    std::vector<bool> matches = MatchingPrefixes(tokens, text);
    size_t length = 0;
    for (size_t i = 1; i < matches.size(); ++i) {
      if (matches[i]) length = i;
    }
    if (length == 0) {
      out.push_back(text[0]);
      text.remove_prefix(1);
      continue;
    }
    absl::StrAppend(&out, with);
    text.remove_prefix(length);
    if (!all) break;
  }
  absl::StrAppend(&out, text);
  return out;
}

class Lexer {
 public:
  Lexer(absl::string_view text, char escape, Variables variables)
      : text_(text), escape_(escape), variables_(variables) {}

  // The whole text; with `quotes` they group and go away, otherwise they are plain characters.
  absl::StatusOr<std::string> All(bool quotes) {
    std::string out;
    while (!AtEnd()) {
      RETURN_IF_ERROR(quotes ? One(out, 0) : OneOfText(out));
    }
    return out;
  }

 private:
  bool AtEnd() const { return next_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[next_]; }
  char Take() { return text_[next_++]; }

  // One character, quoted part or variable.
  absl::Status One(std::string& out, int depth) {
    char c = Peek();
    if (c == '\'') return SingleQuoted(out);
    if (c == '"') return DoubleQuoted(out, depth);
    if (c == '$') return Dollar(out, depth);
    Take();
    if (c == escape_) {
      // An escape at the very end stands for itself.
      out.push_back(AtEnd() ? escape_ : Take());
      return absl::OkStatus();
    }
    out.push_back(c);
    return absl::OkStatus();
  }

  absl::Status OneOfText(std::string& out) {
    char c = Peek();
    if (c == '$') return Dollar(out, 0);
    Take();
    if (c == escape_ && (Peek() == '$' || Peek() == escape_)) c = Take();
    out.push_back(c);
    return absl::OkStatus();
  }

  absl::Status SingleQuoted(std::string& out) {
    Take();
    while (!AtEnd()) {
      char c = Take();
      if (c == '\'') return absl::OkStatus();
      out.push_back(c);
    }
    return absl::InvalidArgumentError("a single quote is not closed");
  }

  absl::Status DoubleQuoted(std::string& out, int depth) {
    Take();
    while (!AtEnd()) {
      char c = Peek();
      if (c == '"') {
        Take();
        return absl::OkStatus();
      }
      if (c == '$') {
        RETURN_IF_ERROR(Dollar(out, depth));
        continue;
      }
      Take();
      if (c == escape_ && !AtEnd()) {
        char next = Take();
        // Inside double quotes only these lose their meaning; any other escape stays with its
        // character.
        if (next != '"' && next != '$' && next != escape_) out.push_back(c);
        out.push_back(next);
        continue;
      }
      out.push_back(c);
    }
    return absl::InvalidArgumentError("a double quote is not closed");
  }

  std::string TakeName() {
    std::string name;
    if (IsNameStart(Peek())) {
      while (IsNameChar(Peek())) name.push_back(Take());
    } else if (absl::ascii_isdigit(Peek())) {
      while (absl::ascii_isdigit(Peek())) name.push_back(Take());
    } else if (!AtEnd() && absl::string_view("@*#?-$!").find(Peek()) != absl::string_view::npos) {
      name.push_back(Take());
    }
    return name;
  }

  absl::Status Dollar(std::string& out, int depth) {
    Take();
    if (Peek() == '{') return Braced(out, depth);
    std::string name = TakeName();
    if (name.empty()) {
      out.push_back('$');
      return absl::OkStatus();
    }
    out += variables_(name).value_or("");
    return absl::OkStatus();
  }

  // The words inside braces, up to (not including) one of `stops` outside quotes.
  absl::StatusOr<std::string> Until(absl::string_view stops, int depth) {
    std::string out;
    while (!AtEnd() && stops.find(Peek()) == absl::string_view::npos) {
      RETURN_IF_ERROR(One(out, depth));
    }
    if (AtEnd()) return absl::InvalidArgumentError("\"${\" is not closed");
    return out;
  }

  absl::Status Braced(std::string& out, int depth) {
    if (depth > kMaxDepth) return absl::InvalidArgumentError("variables are nested too deeply");
    Take();
    if (Peek() == '}') return absl::InvalidArgumentError("\"${}\" names no variable");
    std::string name = TakeName();
    if (AtEnd()) return absl::InvalidArgumentError("\"${\" is not closed");
    if (name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"${", std::string(1, Peek()), "…\" is no variable name"));
    }
    std::optional<std::string> value = variables_(name);
    char modifier = Take();
    if (modifier == '}') {
      out += value.value_or("");
      return absl::OkStatus();
    }
    if (modifier == '#' || modifier == '%')
      return Trimmed(out, modifier, value.value_or(""), depth);
    if (modifier == '/') return Replaced(out, value.value_or(""), depth);
    // With ":" an empty value counts as none.
    if (modifier == ':') {
      if (value && value->empty()) value = std::nullopt;
      if (AtEnd()) return absl::InvalidArgumentError("\"${\" is not closed");
      modifier = Take();
    }
    if (modifier != '-' && modifier != '+' && modifier != '?') {
      return absl::InvalidArgumentError(absl::StrCat(
          "unsupported modifier \"", std::string(1, modifier), "\" in \"${", name, "…}\""));
    }
    ASSIGN_OR_RETURN(std::string word, Until("}", depth + 1));
    Take();
    if (modifier == '-') out += value.value_or(word);
    if (modifier == '+' && value) out += word;
    if (modifier == '?') {
      if (!value) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": ", word.empty() ? "is not set" : word));
      }
      out += *value;
    }
    return absl::OkStatus();
  }

  absl::Status Trimmed(std::string& out, char end, const std::string& value, int depth) {
    bool longest = Peek() == end;
    if (longest) Take();
    ASSIGN_OR_RETURN(std::string pattern, Until("}", depth + 1));
    Take();
    out +=
        end == '#' ? RemovePrefix(value, pattern, longest) : RemoveSuffix(value, pattern, longest);
    return absl::OkStatus();
  }

  absl::Status Replaced(std::string& out, const std::string& value, int depth) {
    bool all = Peek() == '/';
    if (all) Take();
    ASSIGN_OR_RETURN(std::string pattern, Until("/}", depth + 1));
    std::string with;
    if (Take() == '/') {
      ASSIGN_OR_RETURN(with, Until("}", depth + 1));
      Take();
    }
    out += Replace(value, pattern, with, all);
    return absl::OkStatus();
  }

  absl::string_view text_;
  char escape_;
  Variables variables_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<std::string> Expand(absl::string_view word, char escape, Variables variables) {
  return Lexer(word, escape, variables).All(/*quotes=*/true);
}

absl::StatusOr<std::string> ExpandText(absl::string_view text, char escape, Variables variables) {
  return Lexer(text, escape, variables).All(/*quotes=*/false);
}

}  // namespace darse::dockerfile
