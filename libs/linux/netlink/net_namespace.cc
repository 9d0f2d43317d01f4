#include "libs/linux/netlink/net_namespace.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/linux/namespace/user_namespace.h"

namespace darse::netlink {
namespace {

struct Sysctl {
  const char* path;
  const char* value;
  // Not every kernel has it.
  bool optional;
};

constexpr Sysctl kSysctls[] = {
    // A container's user may open port 80 and ping without capabilities, as under Docker.
    {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0", false},
    {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647", false},
    // Loopback keeps ::1; interfaces that come later get no link-local address, which would pass by
    // the IPv4 rules.
    {"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1", true},
    // Tells the bridge at once where a restarted container's address lives now.
    {"/proc/sys/net/ipv4/conf/default/arp_notify", "1", false},
};

absl::Status WriteSysctl(const Sysctl& sysctl) {
  UniqueFd fd(open(sysctl.path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT && sysctl.optional) return absl::OkStatus();
  if (!fd.valid() || write(fd.get(), sysctl.value, strlen(sysctl.value)) < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("writing ", sysctl.path));
  }
  return absl::OkStatus();
}

absl::StatusOr<NewNamespace> UnshareThisThread() {
  if (unshare(CLONE_NEWNET) != 0) {
    return absl::ErrnoToStatus(errno, "making a network namespace");
  }
  for (const Sysctl& sysctl : kSysctls) RETURN_IF_ERROR(WriteSysctl(sysctl));
  UniqueFd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "opening /proc/thread-self/ns/net");
  ASSIGN_OR_RETURN(RouteSocket inside, RouteSocket::Open());
  return NewNamespace{std::move(fd), UniqueFd(), std::move(inside)};
}

absl::Status MoveThisThread(int fd) {
  if (setns(fd, CLONE_NEWNET) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "entering a network namespace");
}

// With the rights of the host: a range of groups (ping_group_range) is the host's.
absl::StatusOr<NewNamespace> FurnishFromThisThread(ns::UserAndNetwork made) {
  RETURN_IF_ERROR(MoveThisThread(made.network.get()));
  for (const Sysctl& sysctl : kSysctls) RETURN_IF_ERROR(WriteSysctl(sysctl));
  ASSIGN_OR_RETURN(RouteSocket inside, RouteSocket::Open());
  return NewNamespace{std::move(made.network), std::move(made.user), std::move(inside)};
}

template <typename Result>
Result InAThread(const std::function<Result()>& body) {
  std::optional<Result> result;
  std::thread([&] { result.emplace(body()); }).join();
  return *std::move(result);
}

}  // namespace

absl::StatusOr<NewNamespace> MakeNamespace(const ns::IdMaps* maps) {
  if (maps == nullptr) return InAThread<absl::StatusOr<NewNamespace>>(UnshareThisThread);
  ASSIGN_OR_RETURN(ns::UserAndNetwork made, ns::MakeUserAndNetwork(*maps));
  return InAThread<absl::StatusOr<NewNamespace>>(
      [&] { return FurnishFromThisThread(std::move(made)); });
}

absl::StatusOr<RouteSocket> OpenInside(int fd) {
  return InAThread<absl::StatusOr<RouteSocket>>([&]() -> absl::StatusOr<RouteSocket> {
    RETURN_IF_ERROR(MoveThisThread(fd));
    return RouteSocket::Open();
  });
}

absl::StatusOr<UniqueFd> OpenNamespaceAt(absl::string_view path) {
  UniqueFd fd(open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  return fd;
}

absl::Status MountNamespace(const UniqueFd& fd, absl::string_view path) {
  const std::string target(path);
  if (IsNamespaceAt(target)) {
    return absl::AlreadyExistsError(absl::StrCat("a namespace is mounted at ", target));
  }
  UniqueFd file(open(target.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0444));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("making ", target));
  const std::string source = absl::StrCat("/proc/self/fd/", fd.get());
  if (mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    const absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat("mounting ", target));
    unlink(target.c_str());
    return status;
  }
  return absl::OkStatus();
}

absl::Status DropNamespaceAt(absl::string_view path) {
  const std::string target(path);
  if (umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != ENOENT &&
      errno != EINVAL) {
    return absl::ErrnoToStatus(errno, absl::StrCat("unmounting ", target));
  }
  if (unlink(target.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("removing ", target));
  }
  return absl::OkStatus();
}

bool IsNamespaceAt(absl::string_view path) {
  struct statfs fs;
  return statfs(std::string(path).c_str(), &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

absl::StatusOr<std::vector<std::string>> ListNamespaces(absl::string_view directory) {
  std::vector<std::string> names;
  DIR* dir = opendir(std::string(directory).c_str());
  if (dir == nullptr) {
    if (errno == ENOENT) return names;
    return absl::ErrnoToStatus(errno, absl::StrCat("listing ", directory));
  }
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace darse::netlink
