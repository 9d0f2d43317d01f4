// Second pass: each logical line becomes a node: keyword, flags, and arguments as a JSON array or
// as text.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/dockerfile/place.h"
#include "libs/dockerfile/text.h"

namespace darse::dockerfile {

// "--name=value"; a flag without "=" has no value.
struct Flag {
  std::string name;
  std::string value;
  bool has_value = false;
};

struct Node {
  Place place;
  // Uppercase.
  std::string keyword;
  std::vector<Flag> flags;
  // What follows the flags.
  std::string rest;
  // True where `rest` is a JSON array of strings; `words` are then its elements.
  bool json = false;
  std::vector<std::string> words;
  std::vector<Heredoc> heredocs;
  // The line as written, for names of steps.
  std::string original;
};

struct Ast {
  char escape = '\\';
  std::vector<Node> nodes;
  std::vector<std::string> warnings;
};

// INVALID_ARGUMENT for a flag that is not closed.
absl::StatusOr<Ast> ParseAst(const Text& text);
// One line, as it stands in a base image's ONBUILD.
absl::StatusOr<Node> ParseNode(const LogicalLine& line, char escape);

}  // namespace darse::dockerfile
