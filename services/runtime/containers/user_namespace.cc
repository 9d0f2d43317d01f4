#include "services/runtime/containers/user_namespace.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/linux/mount/mount_calls.h"
#include "libs/linux/mount/overlay.h"
#include "libs/linux/namespace/user_namespace.h"
#include "libs/os/files.h"
#include "services/runtime/containers/oci_config.h"
#include "services/runtime/networks/id_ranges.h"

namespace darse::runtime {
namespace {

// Those that count inside a user namespace as they do outside. Of the others the kernel asks
// whether the host's root granted them.
constexpr absl::string_view kCountInside[] = {
    "CAP_CHOWN",         "CAP_DAC_OVERRIDE",     "CAP_FSETID",   "CAP_FOWNER",      "CAP_MKNOD",
    "CAP_NET_RAW",       "CAP_SETGID",           "CAP_SETUID",   "CAP_SETFCAP",     "CAP_SETPCAP",
    "CAP_SYS_CHROOT",    "CAP_NET_BIND_SERVICE", "CAP_KILL",     "CAP_AUDIT_WRITE", "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST", "CAP_SYS_PTRACE",       "CAP_IPC_OWNER"};

std::string CapabilityObstacle(const v1::ContainerSpec& spec) {
  for (const std::string& name : Capabilities(spec)) {
    if (std::find(std::begin(kCountInside), std::end(kCountInside), name) ==
        std::end(kCountInside)) {
      return absl::StrCat(name, " counts only there");
    }
  }
  return "";
}

std::string IdObstacle(const ResolvedUser& user) {
  std::set<uint32_t> ids = {user.uid, user.gid};
  ids.insert(user.additional_gids.begin(), user.additional_gids.end());
  if (*ids.rbegin() < kIdsOfOne) return "";
  return absl::StrCat("user or group ", *ids.rbegin(), " is above ", kIdsOfOne - 1);
}

}  // namespace

std::string SpecObstacle(const v1::ContainerSpec& spec, const ResolvedUser& user) {
  if (spec.userns_mode() == "host") return "it was asked for";
  if (spec.privileged()) return "it is privileged";
  if (!spec.snapshot_id().empty()) return "it works on a snapshot";
  if (spec.network_mode() == v1::NETWORK_MODE_HOST) return "it uses the host's network";
  if (spec.pid_mode() == "host") return "it sees the host's processes";
  if (spec.ipc_mode() == "host") return "it uses the host's IPC namespace";
  for (const auto& [key, value] : spec.sysctls()) {
    if (!absl::StartsWith(key, "net.")) return absl::StrCat("it sets ", key);
  }
  for (const v1::Device& device : spec.devices()) {
    if (!absl::StartsWith(device.container_path(), "/dev/")) {
      return absl::StrCat("its device ", device.container_path(), " is not below /dev");
    }
  }
  for (const v1::Mount& mount : spec.mounts()) {
    if (absl::EndsWith(mount.propagation(), "shared")) {
      return absl::StrCat("its mounts below ", mount.target(), " are shared with the host");
    }
    if (absl::EndsWith(mount.propagation(), "slave")) {
      return absl::StrCat("mounts of the host come in below ", mount.target());
    }
  }
  std::string obstacle = CapabilityObstacle(spec);
  return obstacle.empty() ? IdObstacle(user) : obstacle;
}

HostUserNamespaces::HostUserNamespaces(const std::string& directory) {
  absl::Status tried = Try(directory);
  if (!tried.ok()) obstacle_ = absl::StrCat("this host has none: ", tried.message());
}

absl::Status HostUserNamespaces::Try(const std::string& directory) {
  ASSIGN_OR_RETURN(id_map_, ns::MakeUserNamespace(MapsFrom(kFirstId)));
  std::string place = JoinPath(directory, "user-namespace-trial");
  RETURN_IF_ERROR(RemoveTree(place));
  absl::Cleanup remove = [&] { RemoveTree(place).IgnoreError(); };
  mnt::OverlaySource source = {.lower_dirs = {place + "/lower"},
                               .upper_dir = place + "/upper",
                               .work_dir = place + "/work",
                               .id_map = id_map_.get()};
  for (const std::string& one : {source.lower_dirs[0], source.upper_dir, source.work_dir}) {
    RETURN_IF_ERROR(MakeDirectories(one));
  }
  return mnt::MakeOverlay(source).status();
}

std::string HostUserNamespaces::BindObstacle(const std::string& path) const {
  struct stat owner;
  if (stat(path.c_str(), &owner) == 0 && std::max(owner.st_uid, owner.st_gid) >= kIdsOfOne) {
    return absl::StrCat(path, " belongs to ", owner.st_uid, ":", owner.st_gid, ", above ",
                        kIdsOfOne - 1);
  }
  absl::StatusOr<UniqueFd> mount = mnt::CloneMount(AT_FDCWD, path, /*recursive=*/true);
  // What cannot be bound at all is told when it is.
  if (!mount.ok()) return "";
  if (mnt::SetIdMap(mount->get(), id_map_.get(), /*recursive=*/true).ok()) return "";
  return absl::StrCat("a file system at ", path, " has no id-mapped mounts");
}

}  // namespace darse::runtime
