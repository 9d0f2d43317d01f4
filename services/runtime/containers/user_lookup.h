// "app:www" becomes numbers, by the container's own /etc/passwd and /etc/group. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::runtime {

struct ResolvedUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;
  // For HOME; "/" where passwd knows none.
  std::string home = "/";
};

// `user` is user[:group], names or numbers; empty is root. A number needs no entry; a name without
// one is INVALID_ARGUMENT. Without a group the user's own are taken: the primary one, and those of
// /etc/group that list it.
absl::StatusOr<ResolvedUser> LookUpUser(absl::string_view user,
                                        const std::vector<std::string>& additional_groups,
                                        absl::string_view passwd, absl::string_view group);

}  // namespace darse::runtime
