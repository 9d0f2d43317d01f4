// What all List calls share: pages of a list in order of a key, and label filters. Pure.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::runtime {

struct ListPage {
  // The page is [begin, end) of the whole list.
  size_t begin = 0;
  size_t end = 0;
  // Empty on the last page.
  std::string next_page_token;
};

// `keys` are those of the whole list, unique and sorted. The token is the last key of the page
// before, so that it holds though items come and go. INVALID_ARGUMENT for a negative size; 0 is the
// largest page.
absl::StatusOr<ListPage> PageOf(const std::vector<std::string>& keys, int page_size,
                                absl::string_view page_token);

// Each filter is "key" or "key=value"; all must match.
bool HasLabels(const std::map<std::string, std::string>& labels,
               const std::vector<std::string>& filters);

}  // namespace darse::runtime
