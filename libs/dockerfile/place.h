// Where in a Dockerfile something stands, and the one form of its errors: "Dockerfile:LINE:
// INSTRUCTION: why".
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace darse::dockerfile {

struct Place {
  std::string file;
  int line = 0;
};

inline std::string Describe(const Place& place) {
  return absl::StrCat(place.file, ":", place.line);
}

// INVALID_ARGUMENT. `instruction` may be empty.
inline absl::Status ErrorAt(const Place& place, absl::string_view instruction,
                            absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(Describe(place), ": ", instruction, instruction.empty() ? "" : ": ", why));
}

}  // namespace darse::dockerfile
