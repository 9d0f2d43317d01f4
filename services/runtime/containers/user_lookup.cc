#include "services/runtime/containers/user_lookup.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

using Fields = std::vector<absl::string_view>;

// The first line with at least `least` fields for which `matches` holds.
template <typename Matches>
std::optional<Fields> FindLine(absl::string_view text, size_t least, Matches matches) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    Fields fields = absl::StrSplit(line, ':');
    if (line[0] != '#' && fields.size() >= least && matches(fields)) return fields;
  }
  return std::nullopt;
}

absl::StatusOr<uint32_t> GroupId(absl::string_view name, absl::string_view group) {
  std::optional<Fields> line =
      FindLine(group, 3, [&](const Fields& fields) { return fields[0] == name; });
  uint32_t gid = 0;
  if (line && absl::SimpleAtoi((*line)[2], &gid)) return gid;
  if (absl::SimpleAtoi(name, &gid)) return gid;
  return absl::InvalidArgumentError(
      absl::StrCat("group \"", name, "\" is not in the container's /etc/group"));
}

}  // namespace

absl::StatusOr<ResolvedUser> LookUpUser(absl::string_view user,
                                        const std::vector<std::string>& additional_groups,
                                        absl::string_view passwd, absl::string_view group) {
  std::pair<std::string, std::string> parts = absl::StrSplit(user, absl::MaxSplits(':', 1));
  if (parts.first.empty()) parts.first = "0";
  ResolvedUser resolved;
  std::string name;
  // A name that looks like a number is a name first, as in Docker.
  std::optional<Fields> line =
      FindLine(passwd, 6, [&](const Fields& fields) { return fields[0] == parts.first; });
  uint32_t number = 0;
  if (!line && absl::SimpleAtoi(parts.first, &number)) {
    resolved.uid = number;
    line = FindLine(passwd, 6,
                    [&](const Fields& fields) { return fields[2] == absl::StrCat(number); });
  } else if (!line) {
    return absl::InvalidArgumentError(
        absl::StrCat("user \"", parts.first, "\" is not in the container's /etc/passwd"));
  }
  if (line) {
    if (!absl::SimpleAtoi((*line)[2], &resolved.uid) ||
        !absl::SimpleAtoi((*line)[3], &resolved.gid)) {
      return absl::InvalidArgumentError(
          absl::StrCat("user \"", parts.first, "\": the line in /etc/passwd is damaged"));
    }
    name = std::string((*line)[0]);
    if (!(*line)[5].empty()) resolved.home = std::string((*line)[5]);
  } else if (resolved.uid == 0) {
    resolved.home = "/root";
  }
  if (!parts.second.empty()) {
    ASSIGN_OR_RETURN(resolved.gid, GroupId(parts.second, group));
  } else if (!name.empty()) {
    for (absl::string_view entry : absl::StrSplit(group, '\n', absl::SkipEmpty())) {
      Fields fields = absl::StrSplit(entry, ':');
      uint32_t gid = 0;
      if (fields.size() < 4 || !absl::SimpleAtoi(fields[2], &gid)) continue;
      Fields members = absl::StrSplit(fields[3], ',');
      if (std::find(members.begin(), members.end(), name) != members.end()) {
        resolved.additional_gids.push_back(gid);
      }
    }
  }
  for (const std::string& extra : additional_groups) {
    ASSIGN_OR_RETURN(uint32_t gid, GroupId(extra, group));
    resolved.additional_gids.push_back(gid);
  }
  return resolved;
}

}  // namespace darse::runtime
