#include "libs/dockerfile/glob.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::dockerfile {
namespace {

absl::Status Bad(absl::string_view pattern, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("pattern \"", pattern, "\": ", why));
}

}  // namespace

// `next` is behind "[" before and behind "]" after.
absl::StatusOr<Glob::Token> Glob::ParseClass(absl::string_view pattern, size_t& next) {
  Token token{Token::kClass};
  if (next < pattern.size() && pattern[next] == '^') {
    token.negated = true;
    ++next;
  }
  auto take = [&](unsigned char& c) {
    if (next < pattern.size() && pattern[next] == '\\') ++next;
    if (next >= pattern.size()) return false;
    c = static_cast<unsigned char>(pattern[next++]);
    return true;
  };
  while (next < pattern.size() && (pattern[next] != ']' || token.ranges.empty())) {
    unsigned char low = 0, high = 0;
    if (!take(low)) break;
    high = low;
    if (next + 1 < pattern.size() && pattern[next] == '-' && pattern[next + 1] != ']') {
      ++next;
      if (!take(high)) break;
    }
    token.ranges.emplace_back(low, high);
  }
  if (next >= pattern.size()) return Bad(pattern, "\"[\" is not closed");
  ++next;
  return token;
}

absl::StatusOr<Glob> Glob::Parse(absl::string_view pattern, bool deep) {
  Glob glob;
  for (size_t i = 0; i < pattern.size();) {
    char c = pattern[i++];
    if (c == '*' && deep && i < pattern.size() && pattern[i] == '*') {
      ++i;
      if (i < pattern.size() && pattern[i] == '/') ++i;
      glob.tokens_.push_back({i == pattern.size() ? Token::kRest : Token::kDeep});
    } else if (c == '*') {
      glob.tokens_.push_back({Token::kStar});
    } else if (c == '?') {
      glob.tokens_.push_back({Token::kAny});
    } else if (c == '[') {
      ASSIGN_OR_RETURN(Token token, ParseClass(pattern, i));
      glob.tokens_.push_back(std::move(token));
    } else {
      if (c == '\\') {
        if (i == pattern.size()) return Bad(pattern, "ends in \"\\\"");
        c = pattern[i++];
      }
      glob.tokens_.push_back({Token::kChar, c});
    }
  }
  return glob;
}

bool Glob::MatchesOne(const Token& token, char c) {
  if (token.kind == Token::kChar) return token.c == c;
  if (c == '/') return false;
  if (token.kind == Token::kAny) return true;
  unsigned char byte = static_cast<unsigned char>(c);
  for (const auto& [low, high] : token.ranges) {
    if (low <= byte && byte <= high) return !token.negated;
  }
  return token.negated;
}

bool Glob::Matches(absl::string_view path) const {
  // at[i]: the tokens so far match exactly the first i characters.
  std::vector<char> at(path.size() + 1, 0), next(path.size() + 1, 0);
  at[0] = 1;
  for (const Token& token : tokens_) {
    bool open = false;
    for (size_t i = 0; i <= path.size(); ++i) {
      next[i] = 0;
      switch (token.kind) {
        case Token::kStar:
          if (i > 0 && path[i - 1] == '/') open = false;
          open = open || at[i];
          next[i] = open;
          break;
        case Token::kRest:
          open = open || at[i];
          next[i] = open;
          break;
        case Token::kDeep:
          next[i] = at[i] || (open && path[i - 1] == '/');
          open = open || at[i];
          break;
        default:
          next[i] = i > 0 && at[i - 1] && MatchesOne(token, path[i - 1]);
      }
    }
    at.swap(next);
  }
  return at[path.size()];
}

bool Glob::IsPlain(absl::string_view pattern) {
  return pattern.find_first_of("*?[\\") == absl::string_view::npos;
}

}  // namespace darse::dockerfile
