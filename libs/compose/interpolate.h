// ${VAR} and its relatives, as the compose specification has them:
//
//   $VAR ${VAR}       the value; empty, and named in `unset`, if not set
//   ${VAR:-word}      word if unset or empty      ${VAR-word}   word if unset
//   ${VAR:?word}      an error if unset or empty  ${VAR?word}   an error if unset
//   ${VAR:+word}      word if set and not empty   ${VAR+word}   word if set
//   $$                a dollar sign
//
// A word may hold all of these again.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::compose {

using Lookup = absl::FunctionRef<std::optional<std::string>(absl::string_view name)>;

// INVALID_ARGUMENT says what is malformed, or the word of a ":?" that struck. `unset` may be
// nullptr.
absl::StatusOr<std::string> Interpolate(absl::string_view text, Lookup lookup,
                                        std::set<std::string>* unset);

}  // namespace darse::compose
