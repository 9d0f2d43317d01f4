// Path patterns as Go's filepath.Match has them: * and ? stop at "/", [a-z] and [^a-z], \ takes the
// meaning away. With `deep` also "**": "**/x" is x at any depth, "x/**" all below x.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::dockerfile {

class Glob {
 public:
  // INVALID_ARGUMENT for an unclosed class or a last "\".
  static absl::StatusOr<Glob> Parse(absl::string_view pattern, bool deep = false);
  // The whole of `path`. Linear in pattern × path.
  bool Matches(absl::string_view path) const;
  // True if the pattern is plain text.
  static bool IsPlain(absl::string_view pattern);

 private:
  struct Token {
    // kDeep is "**/": nothing, or anything up to a slash.
    enum Kind { kChar, kAny, kClass, kStar, kDeep, kRest } kind;
    char c = 0;
    bool negated = false;
    std::vector<std::pair<unsigned char, unsigned char>> ranges = {};
  };
  static absl::StatusOr<Token> ParseClass(absl::string_view pattern, size_t& next);
  static bool MatchesOne(const Token& token, char c);
  std::vector<Token> tokens_;
};

}  // namespace darse::dockerfile
