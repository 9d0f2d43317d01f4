// A merged spec and what this node gave the container (namespaces, addresses, directories, numbers
// for names) become the OCI config.json that the shim runs. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container.pb.h"
#include "services/runtime/containers/user_lookup.h"

namespace darse::runtime {

// A device node of the host, as stat(2) saw it.
struct HostDevice {
  std::string path;
  // 'c' or 'b'.
  char type = 'c';
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t mode = 0666;
  uint32_t uid = 0;
  uint32_t gid = 0;
  // "rwm".
  std::string permissions = "rwm";
};

struct OciInput {
  std::string id;
  // As MergeImage made it, with every volume named.
  v1::ContainerSpec spec;
  ResolvedUser user;
  std::string hostname;
  // Where the shim mounts the root filesystem.
  std::string rootfs_path;
  // "/darse/<id>", below each controller's mount.
  std::string cgroup_path;
  // Of the namespace to join; empty: the host's.
  std::string netns_path;
  // The same, for users; then it has ids from `first_id` on
  // (services/runtime/networks/id_ranges.h).
  std::string userns_path;
  uint32_t first_id = 0;
  // Directories of the volumes, by name.
  std::map<std::string, std::string> volume_paths;
  // Directory with the files hosts, hostname and resolv.conf that are bound over those in /etc.
  std::string etc_dir;
  // Of the program bound at /dev/darse-init; empty unless spec.init.
  std::string init_path;
  // For spec.devices in their order, with `path` inside; for a privileged container all of the
  // host's after them.
  std::vector<HostDevice> devices;
  // OCI linux.seccomp as JSON; empty: none.
  std::string seccomp_json;
};

// OCI process, also for exec: `args`, `env` and the rest replace those of the container.
struct ProcessInput {
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  ResolvedUser user;
  bool tty = false;
  bool privileged = false;
  uint32_t columns = 0;
  uint32_t rows = 0;
};

std::string BuildOciConfig(const OciInput& input);

// The process object alone, with the container's capabilities, limits and no_new_privileges.
std::string BuildOciProcess(const v1::ContainerSpec& spec, const ProcessInput& input);

// What every process of the container has: PATH, HOSTNAME, TERM and HOME where nobody set them,
// then spec.env, then `more`.
std::vector<std::string> BuildEnv(const v1::ContainerSpec& spec, absl::string_view hostname,
                                  absl::string_view home, bool tty,
                                  const std::vector<std::string>& more = {});

// Docker's set, changed by cap_add and cap_drop; for a privileged container, as for "ALL", what
// this process has to give.
std::vector<std::string> Capabilities(const v1::ContainerSpec& spec);

}  // namespace darse::runtime
