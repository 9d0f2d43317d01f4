#include "libs/dockerfile/dockerfile.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/dockerfile/ast.h"
#include "libs/dockerfile/text.h"

namespace darse::dockerfile {

absl::StatusOr<Dockerfile> ParseDockerfile(absl::string_view content, absl::string_view file) {
  ASSIGN_OR_RETURN(Text text, SplitText(content, file));
  ASSIGN_OR_RETURN(Ast ast, ParseAst(text));
  Dockerfile out{.escape = ast.escape, .warnings = std::move(ast.warnings)};
  std::set<std::string> names;
  for (const Node& node : ast.nodes) {
    ASSIGN_OR_RETURN(Instruction instruction, ParseInstruction(node, ast.escape));
    if (From* from = std::get_if<From>(&instruction.value)) {
      if (!from->stage.empty() && !names.insert(from->stage).second) {
        return ErrorAt(node.place, "FROM",
                       absl::StrCat("stage \"", from->stage, "\" is there already"));
      }
      out.stages.push_back({.from = *from, .place = node.place, .original = instruction.original});
    } else if (!out.stages.empty()) {
      out.stages.back().instructions.push_back(std::move(instruction));
    } else if (instruction.keyword == "ARG") {
      out.global_args.push_back(std::move(instruction));
    } else {
      return ErrorAt(node.place, node.keyword, "only ARG may stand before the first FROM");
    }
  }
  if (out.stages.empty()) {
    return ErrorAt({std::string(file), 1}, "", "has no FROM: there is nothing to build");
  }
  return out;
}

}  // namespace darse::dockerfile
