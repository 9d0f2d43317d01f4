#include "libs/linux/mount/mount_options.h"

#include <sys/mount.h>

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace darse::mnt {
namespace {

struct Attribute {
  const char* name;
  uint64_t set;
  uint64_t clear;
};

// The access time is one value of several bits: to set one is to clear all first.
constexpr Attribute kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

constexpr std::pair<const char*, uint64_t> kPropagations[] = {
    {"shared", MS_SHARED},
    {"slave", MS_SLAVE},
    {"private", MS_PRIVATE},
    {"unbindable", MS_UNBINDABLE},
};

const Attribute* FindAttribute(absl::string_view name) {
  for (const Attribute& attribute : kAttributes) {
    if (name == attribute.name) return &attribute;
  }
  return nullptr;
}

bool IsSuperblockDefault(absl::string_view name) {
  for (const char* flag : {"async", "nomand", "nolazytime", "noiversion", "loud", "silent"}) {
    if (name == flag) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::pair<uint64_t, bool>> ParsePropagation(const std::string& name) {
  bool recursive = !name.empty() && name[0] == 'r';
  for (const auto& [known, flag] : kPropagations) {
    if (name == known) return std::pair(flag, false);
    if (recursive && name.substr(1) == known) return std::pair(flag, true);
  }
  return absl::InvalidArgumentError(absl::StrCat("propagation \"", name,
                                                 "\": not one of [r]private, "
                                                 "[r]slave, [r]shared, [r]unbindable"));
}

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& options) {
  Options parsed;
  for (const std::string& option : options) {
    if (option == "bind" || option == "rbind") {
      parsed.bind = true;
      parsed.recursive |= option == "rbind";
      continue;
    }
    if (option == "defaults" || option.empty() || IsSuperblockDefault(option)) continue;
    if (option == "remount") {
      return absl::InvalidArgumentError(
          "mount option \"remount\": a container has nothing mounted yet");
    }
    if (option == "tmpcopyup") {
      parsed.copy_up = true;
      continue;
    }
    if (option == "idmap" || option == "ridmap") {
      parsed.id_map = true;
      parsed.id_map_recursive = option == "ridmap";
      continue;
    }
    if (absl::StatusOr<std::pair<uint64_t, bool>> propagation = ParsePropagation(option);
        propagation.ok()) {
      parsed.propagation = propagation->first;
      parsed.propagation_recursive = propagation->second;
      continue;
    }
    if (const Attribute* attribute = FindAttribute(option)) {
      parsed.set = (parsed.set & ~attribute->clear) | attribute->set;
      parsed.clear = (parsed.clear & ~attribute->set) | attribute->clear;
      continue;
    }
    const Attribute* attribute =
        option[0] == 'r' ? FindAttribute(absl::string_view(option).substr(1)) : nullptr;
    if (attribute != nullptr) {
      parsed.set_recursive = (parsed.set_recursive & ~attribute->clear) | attribute->set;
      parsed.clear_recursive = (parsed.clear_recursive & ~attribute->set) | attribute->clear;
      continue;
    }
    std::pair<std::string, std::string> pair = absl::StrSplit(option, absl::MaxSplits('=', 1));
    parsed.data.push_back(std::move(pair));
  }
  return parsed;
}

}  // namespace darse::mnt
