// `.env` and `env_file`: lines KEY=VALUE, with "#" comments, an optional "export", 'literal'
// values, "quoted" ones with \n \t \r \" \\ \$ and variables, and bare ones with variables, cut at
// " #". A quoted value may run over lines.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/compose/interpolate.h"

namespace darse::compose {

struct Variable {
  std::string name;
  // nullopt: a line with a name alone, which means "as in the environment".
  std::optional<std::string> value;
};

// In the order of the file; a later one of the same name wins. Variables in values are looked up
// among the earlier ones and in `lookup`, which wins. INVALID_ARGUMENT "file:line: why".
absl::StatusOr<std::vector<Variable>> ParseDotenv(absl::string_view text, absl::string_view file,
                                                  Lookup lookup);

}  // namespace darse::compose
