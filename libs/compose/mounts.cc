#include "libs/compose/mounts.h"

#include <openssl/evp.h>

#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/compose/units.h"

namespace darse::compose {
namespace {

using runtime::v1::Mount;

// A larger file is data, not configuration: its contents do not count.
constexpr int64_t kContentLimit = 4 << 20;

std::string Sha256(absl::string_view bytes) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(bytes.data(), bytes.size(), hash, &length, EVP_sha256(), nullptr);
  return absl::StrCat("sha256:",
                      absl::BytesToHexString({reinterpret_cast<const char*>(hash), length}));
}

bool IsPath(absl::string_view source) {
  return absl::StartsWith(source, "/") || absl::StartsWith(source, ".") ||
         absl::StartsWith(source, "~");
}

void NoteContents(Scope& scope, const Mount& mount, scheduler::v1::ServiceSpec& service) {
  if (scope.files.Kind(mount.source()) != FileKind::kRegular) return;
  const absl::StatusOr<std::string> text = scope.files.Read(mount.source(), kContentLimit);
  if (text.ok()) (*service.mutable_content_digests())[mount.source()] = Sha256(*text);
}

bool CheckTarget(Scope& scope, const At& at, absl::string_view target) {
  if (absl::StartsWith(target, "/") && target != "/") return true;
  scope.values.Refuse(
      at, absl::StrCat("\"", target, "\" must be an absolute path inside the container"));
  return false;
}

// Fills type and source of a named volume, or refuses one that the file does not declare.
bool NameVolume(Scope& scope, const At& at, absl::string_view key, Mount& mount) {
  const auto found = scope.volumes.find(std::string(key));
  if (found == scope.volumes.end()) {
    scope.values.Refuse(at, absl::StrCat("volume \"", key, "\" is not declared under volumes"));
    return false;
  }
  mount.set_type(runtime::v1::MOUNT_TYPE_VOLUME);
  mount.set_source(found->second);
  return true;
}

bool IsPropagation(absl::string_view word) {
  static constexpr absl::string_view kWords[] = {"rprivate", "private", "rslave",
                                                 "slave",    "rshared", "shared"};
  for (absl::string_view known : kWords) {
    if (word == known) return true;
  }
  return false;
}

void WarnSelinux(Scope& scope, const At& at) {
  scope.warnings.push_back(absl::StrCat(at.node->position.FileAndLine(), ": ", at.path,
                                        ": relabelling is for SELinux, which Darse does not use"));
}

bool ApplyMode(Scope& scope, const At& at, absl::string_view mode, Mount& mount) {
  for (absl::string_view word : absl::StrSplit(mode, ',')) {
    if (word == "ro") {
      mount.set_read_only(true);
    } else if (word == "z" || word == "Z") {
      WarnSelinux(scope, at);
    } else if (word == "nocopy" && mount.type() == runtime::v1::MOUNT_TYPE_VOLUME) {
      mount.set_no_copy(true);
    } else if (IsPropagation(word) && mount.type() == runtime::v1::MOUNT_TYPE_BIND) {
      mount.set_propagation(std::string(word));
    } else if (word != "rw" && word != "cached" && word != "delegated" && word != "consistent") {
      scope.values.Refuse(at, absl::StrCat("mode \"", word, "\": not supported yet"));
      return false;
    }
  }
  return true;
}

void DecodeShort(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service) {
  const std::vector<std::string> parts = absl::StrSplit(at.node->text, ':');
  if (parts.size() > 3) return scope.values.Refuse(at, "expected [SOURCE:]TARGET[:MODE]");
  Mount mount;
  const std::string& target = parts.size() == 1 ? parts[0] : parts[1];
  if (!CheckTarget(scope, at, target)) return;
  mount.set_target(target);
  if (parts.size() == 1) {
    mount.set_type(runtime::v1::MOUNT_TYPE_VOLUME);
  } else if (IsPath(parts[0])) {
    mount.set_type(runtime::v1::MOUNT_TYPE_BIND);
    mount.set_source(AbsolutePath(parts[0], scope.project_dir, scope.home));
    mount.set_create_source(true);
  } else if (!NameVolume(scope, at, parts[0], mount)) {
    return;
  }
  if (parts.size() == 3 && !ApplyMode(scope, at, parts[2], mount)) return;
  if (mount.type() == runtime::v1::MOUNT_TYPE_BIND) NoteContents(scope, mount, service);
  *service.mutable_container()->add_mounts() = std::move(mount);
}

void DecodeBindKeys(Scope& scope, const At& at, Mount& mount) {
  scope.values.Keys(at, {
                            {"propagation",
                             [&](const At& value) {
                               if (!IsPropagation(value.node->text))
                                 return scope.values.Refuse(value, "no such propagation");
                               mount.set_propagation(value.node->text);
                             }},
                            {"create_host_path",
                             [&](const At& value) {
                               mount.set_create_source(scope.values.Bool(value).value_or(true));
                             }},
                            {"selinux", [&](const At& value) { WarnSelinux(scope, value); }},
                        });
}

void DecodeTmpfsKeys(Scope& scope, const At& at, Mount& mount) {
  scope.values.Keys(at, {
                            {"size",
                             [&](const At& value) {
                               mount.set_tmpfs_size_bytes(scope.values.Bytes(value).value_or(0));
                             }},
                            {"mode",
                             [&](const At& value) {
                               // Permission bits are written in octal (0755 or 0o755); anything
                               // else is a mistake.
                               uint32_t mode = 0;
                               for (char c : absl::StripPrefix(value.node->text, "0o")) {
                                 if (c < '0' || c > '7')
                                   return scope.values.Refuse(value, "must be octal, such as 0755");
                                 mode = mode * 8 + (c - '0');
                               }
                               if (mode > 07777)
                                 return scope.values.Refuse(value, "must be octal, such as 0755");
                               mount.set_tmpfs_mode(mode);
                             }},
                        });
}

void DecodeLong(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service) {
  Mount mount;
  std::string type;
  std::optional<At> source;
  std::optional<At> bind;
  std::optional<At> tmpfs;
  const size_t before = scope.errors.size();
  scope.values.Keys(
      at,
      {
          {"type", [&](const At& value) { type = scope.values.Text(value).value_or(""); }},
          {"source", [&](const At& value) { source = value; }},
          {"target",
           [&](const At& value) { mount.set_target(scope.values.Text(value).value_or("")); }},
          {"read_only",
           [&](const At& value) { mount.set_read_only(scope.values.Bool(value).value_or(false)); }},
          {"consistency", [&](const At& value) { scope.values.Text(value); }},
          {"bind", [&](const At& value) { bind = value; }},
          {"tmpfs", [&](const At& value) { tmpfs = value; }},
          {"volume",
           [&](const At& value) {
             scope.values.Keys(value,
                               {{"nocopy", [&](const At& flag) {
                                   mount.set_no_copy(scope.values.Bool(flag).value_or(false));
                                 }}});
           }},
      });
  if (scope.errors.size() != before || !CheckTarget(scope, at, mount.target())) return;
  if (type != "bind" && bind) return scope.values.Refuse(*bind, "only for type bind");
  if (type != "tmpfs" && tmpfs) return scope.values.Refuse(*tmpfs, "only for type tmpfs");
  if (type == "bind") {
    mount.set_type(runtime::v1::MOUNT_TYPE_BIND);
    mount.set_create_source(true);
    if (!source) return scope.values.Refuse(at, "a bind needs a source");
    mount.set_source(AbsolutePath(source->node->text, scope.project_dir, scope.home));
    if (bind) DecodeBindKeys(scope, *bind, mount);
    NoteContents(scope, mount, service);
  } else if (type == "volume") {
    mount.set_type(runtime::v1::MOUNT_TYPE_VOLUME);
    if (source && !NameVolume(scope, *source, source->node->text, mount)) return;
  } else if (type == "tmpfs") {
    mount.set_type(runtime::v1::MOUNT_TYPE_TMPFS);
    if (source) return scope.values.Refuse(*source, "a tmpfs has no source");
    if (tmpfs) DecodeTmpfsKeys(scope, *tmpfs, mount);
  } else {
    return scope.values.Refuse(at, absl::StrCat("type \"", type, "\": not supported yet"));
  }
  *service.mutable_container()->add_mounts() = std::move(mount);
}

}  // namespace

void DecodeVolumes(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service) {
  if (!at.node->IsSequence()) return scope.values.Refuse(at, "must be a list");
  for (size_t i = 0; i < at.node->items.size(); ++i) {
    const At item = at.Item(i);
    if (item.node->IsScalar()) {
      DecodeShort(scope, item, service);
    } else {
      DecodeLong(scope, item, service);
    }
  }
}

void DecodeTmpfs(Scope& scope, const At& at, runtime::v1::ContainerSpec& container) {
  for (const std::string& text : scope.values.Texts(at)) {
    const std::pair<std::string, std::string> halves =
        absl::StrSplit(text, absl::MaxSplits(':', 1));
    Mount mount;
    mount.set_type(runtime::v1::MOUNT_TYPE_TMPFS);
    if (!CheckTarget(scope, at, halves.first)) continue;
    mount.set_target(halves.first);
    for (absl::string_view option : absl::StrSplit(halves.second, ',', absl::SkipEmpty())) {
      const std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(option, absl::MaxSplits('=', 1));
      const std::optional<int64_t> size = ParseBytes(pair.second);
      uint32_t mode = 0;
      if (pair.first == "size" && size) {
        mount.set_tmpfs_size_bytes(*size);
      } else if (pair.first == "mode" &&
                 std::sscanf(std::string(pair.second).c_str(), "%o", &mode) == 1 && mode <= 07777) {
        mount.set_tmpfs_mode(mode);
      } else if (option == "ro") {
        mount.set_read_only(true);
      } else if (option != "rw" && option != "noexec" && option != "nosuid" && option != "nodev") {
        // noexec, nosuid and nodev are on anyway.
        scope.values.Refuse(at, absl::StrCat("option \"", option, "\": not supported yet"));
      }
    }
    *container.add_mounts() = std::move(mount);
  }
}

void DecodeDevices(Scope& scope, const At& at, runtime::v1::ContainerSpec& container) {
  if (!at.node->IsSequence()) return scope.values.Refuse(at, "must be a list");
  for (size_t i = 0; i < at.node->items.size(); ++i) {
    const At item = at.Item(i);
    runtime::v1::Device device;
    if (item.node->IsMapping()) {
      scope.values.Keys(item,
                        {
                            {"source",
                             [&](const At& value) {
                               device.set_host_path(scope.values.Text(value).value_or(""));
                             }},
                            {"target",
                             [&](const At& value) {
                               device.set_container_path(scope.values.Text(value).value_or(""));
                             }},
                            {"permissions",
                             [&](const At& value) {
                               device.set_permissions(scope.values.Text(value).value_or(""));
                             }},
                        });
    } else if (const std::optional<std::string> text = scope.values.Text(item)) {
      const std::vector<std::string> parts = absl::StrSplit(*text, ':');
      device.set_host_path(parts[0]);
      if (parts.size() > 1) device.set_container_path(parts[1]);
      if (parts.size() > 2) device.set_permissions(parts[2]);
      if (parts.size() > 3) scope.values.Refuse(item, "expected HOST[:CONTAINER[:rwm]]");
    }
    if (!absl::StartsWith(device.host_path(), "/")) {
      scope.values.Refuse(item,
                          "a device is an absolute path on the host; others are not supported yet");
      continue;
    }
    if (device.container_path().empty()) device.set_container_path(device.host_path());
    if (device.permissions().empty()) device.set_permissions("rwm");
    if (device.permissions().find_first_not_of("rwm") != std::string::npos) {
      scope.values.Refuse(item, "permissions are some of r, w and m");
    }
    *container.add_devices() = std::move(device);
  }
}

}  // namespace darse::compose
