#include "libs/container/user_lookup.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace darse::container {
namespace {

struct Account {
  absl::string_view name;
  uint32_t uid;
  uint32_t gid;
  absl::string_view home;
};

std::optional<uint32_t> ReadId(absl::string_view text) {
  uint32_t id = 0;
  // (uid_t)-1 means "no change" to the kernel and must not come from a file.
  if (!absl::SimpleAtoi(text, &id) || id == UINT32_MAX) return std::nullopt;
  return id;
}

template <typename Fn>  // bool(Account): true ends the walk
void ForEachAccount(absl::string_view passwd, Fn fn) {
  for (absl::string_view line : absl::StrSplit(passwd, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> parts = absl::StrSplit(line, ':');
    if (parts.size() < 6) continue;
    std::optional<uint32_t> uid = ReadId(parts[2]), gid = ReadId(parts[3]);
    if (!uid.has_value() || !gid.has_value()) continue;
    if (fn(Account{parts[0], *uid, *gid, parts[5]})) return;
  }
}

template <typename Fn>  // bool(name, gid, members)
void ForEachGroup(absl::string_view group, Fn fn) {
  for (absl::string_view line : absl::StrSplit(group, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> parts = absl::StrSplit(line, ':');
    if (parts.size() < 4) continue;
    std::optional<uint32_t> gid = ReadId(parts[2]);
    if (gid.has_value() && fn(parts[0], *gid, parts[3])) return;
  }
}

std::optional<Account> FindAccount(absl::string_view user, absl::string_view passwd) {
  std::optional<Account> found;
  std::optional<uint32_t> number = ReadId(user);
  ForEachAccount(passwd, [&](const Account& account) {
    if (account.name == user) {
      found = account;
      return true;
    }
    // A name that looks like a number wins over the number.
    if (number == account.uid && !found.has_value()) found = account;
    return false;
  });
  return found;
}

}  // namespace

absl::StatusOr<uint32_t> LookUpGroup(absl::string_view name, absl::string_view group) {
  std::optional<uint32_t> found;
  ForEachGroup(group, [&](absl::string_view candidate, uint32_t gid, absl::string_view) {
    if (candidate == name) found = gid;
    return found.has_value();
  });
  if (!found.has_value()) found = ReadId(name);
  if (found.has_value()) return *found;
  return absl::NotFoundError(
      absl::StrCat("group \"", name, "\": not in the container's /etc/group"));
}

std::string LookUpHome(uint32_t uid, absl::string_view passwd) {
  std::string home = "/";
  ForEachAccount(passwd, [&](const Account& account) {
    if (account.uid != uid) return false;
    if (!account.home.empty()) home = std::string(account.home);
    return true;
  });
  return home;
}

absl::StatusOr<Identity> LookUpUser(absl::string_view user, absl::string_view passwd,
                                    absl::string_view group) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(user, absl::MaxSplits(':', 1));
  absl::string_view name = parts.first.empty() ? "0" : parts.first;
  Identity identity;
  std::optional<Account> account = FindAccount(name, passwd);
  if (account.has_value()) {
    identity.uid = account->uid;
    identity.gid = account->gid;
    if (!account->home.empty()) identity.home = std::string(account->home);
  } else if (std::optional<uint32_t> number = ReadId(name)) {
    identity.uid = *number;
  } else {
    return absl::NotFoundError(
        absl::StrCat("user \"", name, "\": not in the container's /etc/passwd"));
  }
  if (!parts.second.empty()) {
    ASSIGN_OR_RETURN(identity.gid, LookUpGroup(parts.second, group));
    return identity;
  }
  if (!account.has_value()) return identity;
  ForEachGroup(group, [&](absl::string_view, uint32_t gid, absl::string_view members) {
    std::vector<absl::string_view> names = absl::StrSplit(members, ',');
    bool member = std::find(names.begin(), names.end(), account->name) != names.end();
    if (member && gid != identity.gid) identity.groups.push_back(gid);
    return false;
  });
  return identity;
}

}  // namespace darse::container
