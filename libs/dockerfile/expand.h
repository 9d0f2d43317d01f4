// Variables, quotes and escapes in an instruction's words, as Docker's own lexer has them:
//   $x ${x} ${x:-word} ${x-word} ${x:+word} ${x+word} ${x:?why} ${x?why}
//   ${x#pattern} ${x##pattern} ${x%pattern} ${x%%pattern} ${x/pattern/with} ${x//pattern/with}
// In 'single quotes' nothing is replaced; in "double quotes" variables are. \$ is a dollar sign.
#pragma once

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::dockerfile {

using Variables = absl::FunctionRef<std::optional<std::string>(absl::string_view)>;

// A variable that is not set is empty. INVALID_ARGUMENT says what is wrong with the word, without
// its place.
absl::StatusOr<std::string> Expand(absl::string_view word, char escape, Variables variables);
// Text of a here-document: quotes stay as they are.
absl::StatusOr<std::string> ExpandText(absl::string_view text, char escape, Variables variables);

}  // namespace darse::dockerfile
