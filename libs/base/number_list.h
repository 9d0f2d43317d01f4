// Lists of processors or memory nodes as the kernel writes them: "0-3,7".
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace darse {

// INVALID_ARGUMENT for anything else, and for numbers that no kernel has.
inline absl::StatusOr<std::vector<uint32_t>> ParseNumberList(absl::string_view text) {
  constexpr uint32_t kLargest = 8191;  // more than any kernel is built for
  std::vector<uint32_t> numbers;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    uint32_t first = 0, last = 0;
    bool parsed = ends.size() <= 2 && absl::SimpleAtoi(ends[0], &first) &&
                  absl::SimpleAtoi(ends.back(), &last);
    if (!parsed || first > last || last > kLargest) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text, "\" is not a list like \"0-3,7\""));
    }
    for (uint32_t number = first; number <= last; ++number) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace darse
