#include "tools/darse/output/template.h"

#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace darse::client {

struct Template::Node {
  enum Kind { kText, kPrint, kRange, kIf } kind = kText;
  std::string text;                // kText
  std::vector<std::string> words;  // of the action, without "range" and "if"
  std::string key_variable;        // of range, "$k"
  std::string value_variable;
  std::vector<Node> body;
  std::vector<Node> otherwise;
};

namespace {

using Node = Template::Node;
using Variables = std::map<std::string, const Json*>;

// Splits at blanks; "quoted text" keeps its quotes.
absl::StatusOr<std::vector<std::string>> Words(absl::string_view action) {
  std::vector<std::string> words;
  size_t at = 0;
  while (at < action.size()) {
    if (absl::ascii_isspace(action[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    if (action[at] == '"') {
      for (end = at + 1; end < action.size() && action[end] != '"'; ++end) {
        if (action[end] == '\\') ++end;
      }
      if (end >= action.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat("template: quote not closed in {{", action, "}}"));
      }
      ++end;
    } else {
      while (end < action.size() && !absl::ascii_isspace(action[end])) ++end;
    }
    words.emplace_back(action.substr(at, end - at));
    at = end;
  }
  return words;
}

struct Parser {
  absl::string_view rest;

  // Up to the end, or to {{end}} or {{else}}, which is left in `stop`.
  absl::StatusOr<std::vector<Node>> Nodes(bool nested, std::string& stop) {
    std::vector<Node> nodes;
    while (!rest.empty()) {
      size_t open = rest.find("{{");
      absl::string_view text = rest.substr(0, open);
      if (!text.empty()) {
        Node node;
        node.text = absl::StrReplaceAll(text, {{"\\n", "\n"}, {"\\t", "\t"}});
        nodes.push_back(std::move(node));
      }
      if (open == absl::string_view::npos) {
        rest = "";
        break;
      }
      size_t close = rest.find("}}", open);
      if (close == absl::string_view::npos) {
        return absl::InvalidArgumentError("template: {{ without }}");
      }
      std::string action(absl::StripAsciiWhitespace(rest.substr(open + 2, close - open - 2)));
      rest.remove_prefix(close + 2);
      ASSIGN_OR_RETURN(std::vector<std::string> words, Words(action));
      if (words.empty()) return absl::InvalidArgumentError("template: {{}} is empty");
      if (words[0] == "end" || words[0] == "else") {
        if (!nested) {
          return absl::InvalidArgumentError(
              absl::StrCat("template: {{", action, "}} without {{range}} or {{if}}"));
        }
        stop = words[0];
        return nodes;
      }
      ASSIGN_OR_RETURN(Node node, Action(std::move(words)));
      nodes.push_back(std::move(node));
    }
    if (nested) return absl::InvalidArgumentError("template: {{range}} or {{if}} without {{end}}");
    return nodes;
  }

  absl::StatusOr<Node> Action(std::vector<std::string> words) {
    Node node;
    node.kind = words[0] == "range" ? Node::kRange : words[0] == "if" ? Node::kIf : Node::kPrint;
    if (node.kind == Node::kPrint) {
      node.words = std::move(words);
      return node;
    }
    words.erase(words.begin());
    if (node.kind == Node::kRange && words.size() > 2 && words[words.size() - 2] == ":=") {
      if (words.size() == 4) node.key_variable = std::string(absl::StripSuffix(words[0], ","));
      node.value_variable = words[words.size() - 3];
      words.erase(words.begin(), words.end() - 1);
    }
    node.words = std::move(words);
    std::string stop;
    ASSIGN_OR_RETURN(node.body, Nodes(true, stop));
    if (stop == "else") {
      ASSIGN_OR_RETURN(node.otherwise, Nodes(true, stop));
    }
    return node;
  }
};

absl::StatusOr<Json> Value(absl::string_view word, const Json& dot, const Variables& variables) {
  if (absl::StartsWith(word, "\"")) {
    std::string text;
    absl::CUnescape(word.substr(1, word.size() - 2), &text);
    return Json(text);
  }
  if (int64_t number; absl::SimpleAtoi(word, &number)) return Json(number);
  const Json* value = &dot;
  absl::string_view path = word;
  if (absl::StartsWith(word, "$")) {
    size_t dot_at = word.find('.');
    absl::string_view name = word.substr(0, dot_at);
    auto found = variables.find(std::string(name));
    if (found == variables.end()) {
      return absl::InvalidArgumentError(absl::StrCat("template: no variable ", name));
    }
    value = found->second;
    path = dot_at == absl::string_view::npos ? absl::string_view(".") : word.substr(dot_at);
  }
  if (!absl::StartsWith(path, ".")) {
    return absl::InvalidArgumentError(
        absl::StrCat("template: \"", word,
                     "\" is neither a field (.Name) nor a function (json, "
                     "upper, lower, len, println, index, join)"));
  }
  for (absl::string_view name : absl::StrSplit(path, '.', absl::SkipEmpty())) {
    const Json* member = value->Find(name);
    if (member == nullptr) {
      std::vector<std::string> names;
      for (const Json::Member& has : value->members()) names.push_back(has.first);
      return absl::InvalidArgumentError(absl::StrCat(
          "template: no field \"", name, "\"",
          names.empty() ? "" : absl::StrCat("; there are: ", absl::StrJoin(names, " "))));
    }
    value = member;
  }
  return *value;
}

absl::StatusOr<Json> Evaluate(const std::vector<std::string>& words, const Json& dot,
                              const Variables& variables) {
  if (words.empty()) return absl::InvalidArgumentError("template: a value is missing");
  if (words.size() == 1) return Value(words[0], dot, variables);
  std::vector<Json> arguments;
  for (size_t i = 1; i < words.size(); ++i) {
    ASSIGN_OR_RETURN(Json argument, Value(words[i], dot, variables));
    arguments.push_back(std::move(argument));
  }
  const std::string& function = words[0];
  const Json& first = arguments[0];
  if (function == "json") return Json(first.Compact());
  if (function == "upper") return Json(absl::AsciiStrToUpper(first.Plain()));
  if (function == "lower") return Json(absl::AsciiStrToLower(first.Plain()));
  if (function == "println") return Json(first.Plain() + "\n");
  if (function == "len") {
    size_t size = first.is_array()    ? first.items().size()
                  : first.is_object() ? first.members().size()
                                      : first.Plain().size();
    return Json(static_cast<int64_t>(size));
  }
  if (function == "join" && arguments.size() == 2) {
    return Json(absl::StrJoin(first.items(), arguments[1].Plain(),
                              [](std::string* out, const Json& item) { *out += item.Plain(); }));
  }
  if (function == "index" && arguments.size() == 2) {
    if (first.is_array()) {
      size_t at;
      if (!absl::SimpleAtoi(arguments[1].Plain(), &at) || at >= first.items().size()) {
        return absl::InvalidArgumentError(absl::StrCat("template: no item ", arguments[1].Plain()));
      }
      return first.items()[at];
    }
    const Json* member = first.Find(arguments[1].Plain());
    // As Go: a map without the key has the empty value.
    return member ? *member : Json("");
  }
  // "{{.Label "x"}}" is how docker asks ps for one label.
  if (function == ".Label" && arguments.size() == 1) {
    ASSIGN_OR_RETURN(Json labels, Value(".LabelMap", dot, variables));
    const Json* label = labels.Find(first.Plain());
    return label ? *label : Json("");
  }
  return absl::InvalidArgumentError(absl::StrCat("template: {{", absl::StrJoin(words, " "),
                                                 "}} is not understood; there are: json upper "
                                                 "lower len println index join range if"));
}

absl::Status RenderNodes(const std::vector<Node>& nodes, const Json& dot,
                         const Variables& variables, std::string& out) {
  for (const Node& node : nodes) {
    if (node.kind == Node::kText) {
      out += node.text;
      continue;
    }
    ASSIGN_OR_RETURN(Json value, Evaluate(node.words, dot, variables));
    if (node.kind == Node::kPrint) {
      out += value.Plain();
    } else if (node.kind == Node::kIf) {
      RETURN_IF_ERROR(
          RenderNodes(value.IsEmpty() ? node.otherwise : node.body, dot, variables, out));
    } else if (value.IsEmpty()) {
      RETURN_IF_ERROR(RenderNodes(node.otherwise, dot, variables, out));
    } else {
      std::vector<Json::Member> entries(value.members());
      int64_t at = 0;
      for (const Json& item : value.items()) entries.emplace_back(absl::StrCat(at++), item);
      for (const Json::Member& entry : entries) {
        Variables inner = variables;
        const Json key(entry.first);
        if (!node.key_variable.empty()) inner[node.key_variable] = &key;
        if (!node.value_variable.empty()) inner[node.value_variable] = &entry.second;
        RETURN_IF_ERROR(RenderNodes(node.body, entry.second, inner, out));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Template> Template::Parse(absl::string_view text) {
  Parser parser{text};
  std::string stop;
  ASSIGN_OR_RETURN(std::vector<Node> nodes, parser.Nodes(false, stop));
  Template made;
  made.nodes_ = std::make_shared<const std::vector<Node>>(std::move(nodes));
  return made;
}

absl::StatusOr<std::string> Template::Render(const Json& value) const {
  std::string out;
  RETURN_IF_ERROR(RenderNodes(*nodes_, value, {{"$", &value}}, out));
  return out;
}

std::vector<std::string> Template::Fields() const {
  std::vector<std::string> fields;
  for (const Node& node : *nodes_) {
    if (node.kind != Node::kPrint) continue;
    absl::string_view last = node.words.back();
    if (node.words[0] == ".Label") {
      fields.emplace_back(absl::StripSuffix(absl::StripPrefix(last, "\""), "\""));
      continue;
    }
    fields.emplace_back(last.substr(last.rfind('.') + 1));
  }
  return fields;
}

}  // namespace darse::client
