#include "services/runtime/rpc/list_page.h"

#include <algorithm>

#include "absl/status/status.h"

namespace darse::runtime {
namespace {

constexpr size_t kLargestPage = 1000;

}  // namespace

absl::StatusOr<ListPage> PageOf(const std::vector<std::string>& keys, int page_size,
                                absl::string_view page_token) {
  if (page_size < 0) return absl::InvalidArgumentError("page_size must not be negative");
  const size_t size = page_size == 0 ? kLargestPage : std::min<size_t>(page_size, kLargestPage);
  ListPage page;
  if (!page_token.empty()) {
    page.begin = std::upper_bound(keys.begin(), keys.end(), std::string(page_token)) - keys.begin();
  }
  page.end = std::min(keys.size(), page.begin + size);
  if (page.end < keys.size()) page.next_page_token = keys[page.end - 1];
  return page;
}

bool HasLabels(const std::map<std::string, std::string>& labels,
               const std::vector<std::string>& filters) {
  return std::all_of(filters.begin(), filters.end(), [&](const std::string& filter) {
    const size_t equals = filter.find('=');
    auto label = labels.find(filter.substr(0, equals));
    return label != labels.end() &&
           (equals == std::string::npos || label->second == filter.substr(equals + 1));
  });
}

}  // namespace darse::runtime
