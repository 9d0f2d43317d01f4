// Who "user[:group]" is, by a container's own /etc/passwd and /etc/group. Pure: files come in as
// text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::container {

struct Identity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // supplementary
  std::string home = "/";

  bool operator==(const Identity&) const = default;
};

// Names and numbers in both places. A number need not be in the files; a name that is not is
// NOT_FOUND. Without a group, the user's own and those that list it as a member.
absl::StatusOr<Identity> LookUpUser(absl::string_view user, absl::string_view passwd,
                                    absl::string_view group);
absl::StatusOr<uint32_t> LookUpGroup(absl::string_view name, absl::string_view group);
// The home of a uid; "/" if it has none.
std::string LookUpHome(uint32_t uid, absl::string_view passwd);

}  // namespace darse::container
