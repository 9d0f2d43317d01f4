#include "tools/darse/options/mount_option.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "tools/darse/output/units.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

absl::Status Bad(absl::string_view option, absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(option, " \"", text, "\": ", why));
}

absl::Status CheckTarget(absl::string_view option, absl::string_view text, const Mount& mount) {
  if (absl::StartsWith(mount.target(), "/") && mount.target() != "/") return absl::OkStatus();
  return Bad(option, text,
             absl::StrCat("the path in the container must be absolute and not / (it is \"",
                          mount.target(), "\")"));
}

bool IsPath(absl::string_view source) {
  return absl::StartsWith(source, "/") || absl::StartsWith(source, ".") ||
         absl::StartsWith(source, "~");
}

bool IsPropagation(absl::string_view word) {
  for (absl::string_view known : {"rprivate", "private", "rslave", "slave", "rshared", "shared"}) {
    if (word == known) return true;
  }
  return false;
}

absl::StatusOr<bool> Truth(absl::string_view option, absl::string_view text,
                           absl::string_view value) {
  if (value.empty() || value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return Bad(option, text, absl::StrCat("\"", value, "\" is neither true nor false"));
}

absl::Status SetTmpfsMode(absl::string_view option, absl::string_view text, absl::string_view value,
                          Mount& mount) {
  uint32_t mode = 0;
  for (char digit : value) {
    if (digit < '0' || digit > '7' || mode > 07777) {
      return Bad(option, text, absl::StrCat("mode \"", value, "\" is not octal"));
    }
    mode = mode * 8 + (digit - '0');
  }
  mount.set_tmpfs_mode(mode);
  return absl::OkStatus();
}

absl::Status SetVolumeWord(absl::string_view text, absl::string_view word, Mount& mount) {
  const bool bind = mount.type() == MOUNT_TYPE_BIND;
  if (word == "rw" || word.empty()) return absl::OkStatus();
  if (word == "ro") {
    mount.set_read_only(true);
  } else if (word == "nocopy" && !bind) {
    mount.set_no_copy(true);
  } else if (IsPropagation(word) && bind) {
    mount.set_propagation(std::string(word));
  } else if (word == "z" || word == "Z") {
    return Bad("-v", text, "z and Z relabel for SELinux, which Darse does not do; leave them out");
  } else {
    return Bad("-v", text,
               absl::StrCat("option \"", word, "\" is not supported for a ",
                            bind ? "path of the host (ro, rw, rprivate, rslave, rshared)"
                                 : "volume (ro, rw, nocopy)"));
  }
  return absl::OkStatus();
}

// type= first: what the other keys mean depends on it.
absl::Status SetMountType(absl::string_view text, absl::string_view type, Mount& mount) {
  if (type == "bind") {
    mount.set_type(MOUNT_TYPE_BIND);
  } else if (type == "volume" || type.empty()) {
    mount.set_type(MOUNT_TYPE_VOLUME);
  } else if (type == "tmpfs") {
    mount.set_type(MOUNT_TYPE_TMPFS);
  } else {
    return Bad("--mount", text, absl::StrCat("type \"", type, "\" is not bind, volume or tmpfs"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Mount> ParseVolumeOption(absl::string_view text, Surroundings& around) {
  std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() > 3) return Bad("-v", text, "there are more than three parts");
  Mount mount;
  mount.set_type(MOUNT_TYPE_VOLUME);
  if (parts.size() == 1) {
    mount.set_target(parts[0]);
  } else {
    if (parts[0].empty()) return Bad("-v", text, "there is nothing before the first colon");
    mount.set_target(parts[1]);
    if (IsPath(parts[0])) {
      mount.set_type(MOUNT_TYPE_BIND);
      mount.set_source(AbsolutePath(parts[0], around));
      mount.set_create_source(true);
    } else if (absl::StrContains(parts[0], "/")) {
      return Bad("-v", text,
                 absl::StrCat("\"", parts[0],
                              "\" is no name of a volume; for a path "
                              "write ./",
                              parts[0]));
    } else {
      mount.set_source(parts[0]);
    }
  }
  if (parts.size() == 3) {
    for (absl::string_view word : absl::StrSplit(parts[2], ',')) {
      RETURN_IF_ERROR(SetVolumeWord(text, word, mount));
    }
  }
  RETURN_IF_ERROR(CheckTarget("-v", text, mount));
  return mount;
}

absl::StatusOr<Mount> ParseMountOption(absl::string_view text, Surroundings& around) {
  Mount mount;
  mount.set_type(MOUNT_TYPE_VOLUME);
  std::vector<std::pair<std::string, std::string>> pairs;
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    std::pair<std::string, std::string> pair = absl::StrSplit(item, absl::MaxSplits('=', 1));
    if (pair.first == "type") RETURN_IF_ERROR(SetMountType(text, pair.second, mount));
    pairs.push_back(std::move(pair));
  }
  const bool bind = mount.type() == MOUNT_TYPE_BIND;
  const bool tmpfs = mount.type() == MOUNT_TYPE_TMPFS;
  for (const auto& [key, value] : pairs) {
    if (key == "type") continue;
    if ((key == "source" || key == "src") && !tmpfs) {
      mount.set_source(bind ? AbsolutePath(value, around) : value);
    } else if (key == "target" || key == "destination" || key == "dst") {
      mount.set_target(value);
    } else if (key == "readonly" || key == "ro") {
      ASSIGN_OR_RETURN(bool read_only, Truth("--mount", text, value));
      mount.set_read_only(read_only);
    } else if (key == "bind-propagation" && bind && IsPropagation(value)) {
      mount.set_propagation(value);
    } else if (key == "bind-create-src" && bind) {
      ASSIGN_OR_RETURN(bool create, Truth("--mount", text, value));
      mount.set_create_source(create);
    } else if (key == "volume-nocopy" && !bind && !tmpfs) {
      ASSIGN_OR_RETURN(bool no_copy, Truth("--mount", text, value));
      mount.set_no_copy(no_copy);
    } else if (key == "tmpfs-size" && tmpfs) {
      ASSIGN_OR_RETURN(int64_t size, ParseSize(value));
      mount.set_tmpfs_size_bytes(size);
    } else if (key == "tmpfs-mode" && tmpfs) {
      RETURN_IF_ERROR(SetTmpfsMode("--mount", text, value, mount));
    } else {
      return Bad(
          "--mount", text,
          absl::StrCat("\"", key, value.empty() ? "" : "=", value, "\" is not supported for a ",
                       bind    ? "bind (source, target, readonly, bind-propagation)"
                       : tmpfs ? "tmpfs (target, tmpfs-size, tmpfs-mode)"
                               : "volume (source, target, readonly, volume-nocopy)"));
    }
  }
  if (bind && mount.source().empty()) return Bad("--mount", text, "a bind needs source=PATH");
  RETURN_IF_ERROR(CheckTarget("--mount", text, mount));
  return mount;
}

absl::StatusOr<Mount> ParseTmpfsOption(absl::string_view text) {
  const size_t colon = text.find(':');
  Mount mount;
  mount.set_type(MOUNT_TYPE_TMPFS);
  mount.set_target(std::string(text.substr(0, colon)));
  if (colon != absl::string_view::npos) {
    for (absl::string_view item : absl::StrSplit(text.substr(colon + 1), ',')) {
      std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(item, absl::MaxSplits('=', 1));
      if (pair.first == "size") {
        ASSIGN_OR_RETURN(int64_t size, ParseSize(pair.second));
        mount.set_tmpfs_size_bytes(size);
      } else if (pair.first == "mode") {
        RETURN_IF_ERROR(SetTmpfsMode("--tmpfs", text, pair.second, mount));
      } else if (item == "ro") {
        mount.set_read_only(true);
      } else if (item != "rw") {
        return Bad("--tmpfs", text,
                   absl::StrCat("option \"", item, "\" is not supported (size, mode, ro, rw)"));
      }
    }
  }
  RETURN_IF_ERROR(CheckTarget("--tmpfs", text, mount));
  return mount;
}

}  // namespace darse::client
