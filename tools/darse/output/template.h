// The part of Go's text/template that people write after --format:
//
//   {{.Name}} {{.State.Pid}}   a field, or a field of it; an unknown one is an error
//   {{.}}                      the value itself
//   {{json .State}}            as JSON; also upper, lower, len, println
//   {{index .Labels "a.b"}}    a member whose name is no word, or the n-th item
//   {{range .List}}…{{end}}    for each item or member, with {{range $k, $v := .Map}} too
//   {{if .X}}…{{else}}…{{end}}
//
// \n and \t outside of braces are a newline and a tab, as in docker.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/darse/output/json.h"

namespace darse::client {

class Template {
 public:
  struct Node;

  // INVALID_ARGUMENT says what is not understood.
  static absl::StatusOr<Template> Parse(absl::string_view text);

  // INVALID_ARGUMENT for a field that `value` does not have, with those that it has.
  absl::StatusOr<std::string> Render(const Json& value) const;

  // Names of the fields printed at top level, in order: what "table {{.ID}}\t{{.Names}}" has for
  // headings.
  std::vector<std::string> Fields() const;

 private:
  std::shared_ptr<const std::vector<Node>> nodes_;
};

}  // namespace darse::client
