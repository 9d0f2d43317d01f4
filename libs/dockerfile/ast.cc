#include "libs/dockerfile/ast.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "rapidjson/document.h"

namespace darse::dockerfile {
namespace {

bool ParseStringArray(absl::string_view text, std::vector<std::string>& out) {
  if (!absl::StartsWith(text, "[")) return false;
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
  if (document.HasParseError() || !document.IsArray()) return false;
  std::vector<std::string> words;
  for (const rapidjson::Value& value : document.GetArray()) {
    if (!value.IsString()) return false;
    words.emplace_back(value.GetString(), value.GetStringLength());
  }
  out = std::move(words);
  return true;
}

// Instructions whose arguments may be a JSON array.
bool TakesJson(absl::string_view keyword) {
  for (absl::string_view one : {"RUN", "CMD", "ENTRYPOINT", "SHELL", "VOLUME", "COPY", "ADD"}) {
    if (keyword == one) return true;
  }
  return false;
}

// Takes a word off the front of `rest`, quotes removed. False for a quote that is not closed.
bool TakeFlagWord(absl::string_view& rest, char escape, std::string& word) {
  char quote = 0;
  size_t i = 0;
  for (; i < rest.size(); ++i) {
    char c = rest[i];
    if (quote == 0 && absl::ascii_isspace(c)) break;
    if (c == escape && quote != '\'' && i + 1 < rest.size()) {
      word.push_back(rest[++i]);
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      word.push_back(c);
    }
  }
  rest.remove_prefix(i);
  return quote == 0;
}

}  // namespace

absl::StatusOr<Node> ParseNode(const LogicalLine& line, char escape) {
  Node node{.place = line.place, .heredocs = line.heredocs, .original = line.text};
  absl::string_view rest = line.text;
  size_t end = rest.find_first_of(" \t\r\n\v\f");
  node.keyword = absl::AsciiStrToUpper(rest.substr(0, end));
  rest = end == absl::string_view::npos ? "" : absl::StripLeadingAsciiWhitespace(rest.substr(end));
  while (absl::StartsWith(rest, "--")) {
    std::string word;
    absl::string_view after = rest;
    if (!TakeFlagWord(after, escape, word)) {
      return ErrorAt(node.place, node.keyword, "a quote in a flag is not closed");
    }
    after = absl::StripLeadingAsciiWhitespace(after);
    rest = after;
    if (word == "--") break;
    size_t equals = word.find('=');
    Flag flag{.name = word.substr(2, equals == std::string::npos ? equals : equals - 2)};
    flag.has_value = equals != std::string::npos;
    if (flag.has_value) flag.value = word.substr(equals + 1);
    node.flags.push_back(std::move(flag));
  }
  node.rest = std::string(rest);
  if (TakesJson(node.keyword)) node.json = ParseStringArray(node.rest, node.words);
  if (!node.json) node.words = SplitWords(node.rest, escape);
  return node;
}

absl::StatusOr<Ast> ParseAst(const Text& text) {
  Ast ast{.escape = text.escape, .warnings = text.warnings};
  for (const LogicalLine& line : text.lines) {
    ASSIGN_OR_RETURN(Node node, ParseNode(line, text.escape));
    if (!node.json && TakesJson(node.keyword) && absl::StartsWith(node.rest, "[") &&
        absl::EndsWith(node.rest, "]")) {
      ast.warnings.push_back(absl::StrCat(Describe(node.place), ": ", node.keyword,
                                          ": looks like a JSON array but is none (strings need "
                                          "double quotes): read as text"));
    }
    ast.nodes.push_back(std::move(node));
  }
  return ast;
}

}  // namespace darse::dockerfile
