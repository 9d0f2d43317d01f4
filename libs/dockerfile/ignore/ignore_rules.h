// .dockerignore: which files of a directory stay out of the build context.
//
//   # comment          *.log   **/tmp   /docs   !docs/keep.md
//
// Patterns are Go's filepath.Match with "**"; the last one that matches a path or a directory above
// it decides; "!" takes a file back in.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/dockerfile/glob.h"

namespace darse::dockerfile {

class IgnoreRules {
 public:
  // No rules: nothing is ignored.
  IgnoreRules() = default;
  // INVALID_ARGUMENT as "file:LINE: why".
  static absl::StatusOr<IgnoreRules> Parse(absl::string_view content, absl::string_view file);

  // `path` is relative to the context, with "/" between its parts.
  bool Ignores(absl::string_view path) const;
  // An ignored directory may be left out unread only if no "!" can take back something below it.
  bool CanSkipDirectory(absl::string_view path) const;

 private:
  struct Rule {
    Glob glob;
    bool take_back = false;
  };
  std::vector<Rule> rules_;
  bool has_take_back_ = false;
};

}  // namespace darse::dockerfile
