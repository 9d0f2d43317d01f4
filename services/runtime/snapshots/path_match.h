// Go's filepath.Match for one name, and finding what a pattern names below a root.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::runtime {

// `*` any characters, `?` one, `[a-z]` and `[^a-z]` one of a range, `\x` the character x.
// INVALID_ARGUMENT for a malformed pattern.
absl::StatusOr<bool> NameMatches(absl::string_view pattern, absl::string_view name);

// The paths below `root` that each of `patterns` names, in the order of patterns and sorted for
// each; symlinks inside are followed. NOT_FOUND if one matches nothing.
absl::StatusOr<std::vector<std::string>> FindPaths(int root,
                                                   const std::vector<std::string>& patterns);

}  // namespace darse::runtime
