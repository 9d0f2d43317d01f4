// The OCI runtime configuration (config.json) as values. Names follow the specification; what is
// absent there is nullopt or empty here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libs/linux/capability/capability.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/mount/mount_options.h"
#include "libs/linux/namespace/id_maps.h"
#include "libs/linux/resctrl/resctrl.h"
#include "libs/linux/seccomp/seccomp_profile.h"

namespace darse::container {

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
  // Darse's own exec sends a name instead ("user[:group]"): looked up in the container's
  // /etc/passwd.
  std::string username;
  // Names or numbers, looked up in the container's /etc/group ("additionalGroups", Darse's own
  // too).
  std::vector<std::string> additional_groups;

  bool operator==(const User&) const = default;
};

struct Rlimit {
  int resource = 0;  // RLIMIT_…
  std::string name;  // "RLIMIT_NOFILE"
  uint64_t soft = 0;
  uint64_t hard = 0;

  bool operator==(const Rlimit&) const = default;
};

struct Scheduler {
  uint32_t policy = 0;  // SCHED_…
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t flags = 0;
  uint64_t runtime = 0, deadline = 0, period = 0;

  bool operator==(const Scheduler&) const = default;
};

struct Process {
  bool terminal = false;
  uint32_t rows = 0, columns = 0;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  std::optional<capability::Sets> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::optional<int> io_priority;  // as ioprio_set wants it
  std::string apparmor_profile;
  std::string selinux_label;
  // execCPUAffinity: processors, for exec alone. Empty: as they are.
  std::vector<uint32_t> cpus_initial, cpus_final;

  bool operator==(const Process&) const = default;
};

struct MountEntry {
  std::string destination;
  std::string type;
  std::string source;
  mnt::Options options;
  // For options.id_map; empty: those of the container's user namespace.
  ns::IdMaps id_maps;

  bool operator==(const MountEntry&) const = default;
};

struct NamespaceEntry {
  uint64_t flag = 0;  // CLONE_NEW…
  std::string path;   // empty: a new one

  bool operator==(const NamespaceEntry&) const = default;
};

struct NetDevice {
  std::string name, new_name;  // on the host, and inside

  bool operator==(const NetDevice&) const = default;
};

struct TimeOffset {
  std::string clock;  // "monotonic" or "boottime"
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;

  bool operator==(const TimeOffset&) const = default;
};

// set_mempolicy(2)
struct MemoryPolicy {
  int mode = 0;  // MPOL_… with its flags
  std::vector<uint32_t> nodes;

  bool operator==(const MemoryPolicy&) const = default;
};

struct DeviceNode {
  char type = 'c';  // 'c', 'b', 'p'
  std::string path;
  int64_t major = 0, minor = 0;
  uint32_t mode = 0666;
  uint32_t uid = 0, gid = 0;

  bool operator==(const DeviceNode&) const = default;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  int timeout_s = 0;  // 0: none

  bool operator==(const Hook&) const = default;
};

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;

  bool operator==(const Hooks&) const = default;
};

struct Spec {
  std::string oci_version;
  Process process;
  std::string root_path;
  bool root_readonly = false;
  std::string hostname, domainname;
  std::vector<MountEntry> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;

  std::vector<NamespaceEntry> namespaces;
  ns::IdMaps id_maps;  // of a new user namespace
  std::vector<TimeOffset> time_offsets;
  std::optional<MemoryPolicy> memory_policy;
  std::vector<NetDevice> net_devices;
  std::optional<resctrl::Settings> intel_rdt;
  std::vector<DeviceNode> devices;
  std::string cgroups_path;
  cgroup::Limits limits;
  std::map<std::string, std::string> sysctl;
  std::optional<seccomp::Profile> seccomp;
  std::optional<mnt::Options> root_propagation;  // only the propagation part
  std::vector<std::string> masked_paths, readonly_paths;
  std::optional<unsigned long> personality;
  std::string mount_label;

  bool operator==(const Spec&) const = default;

  const NamespaceEntry* FindNamespace(uint64_t flag) const {
    for (const NamespaceEntry& entry : namespaces) {
      if (entry.flag == flag) return &entry;
    }
    return nullptr;
  }
};

// INVALID_ARGUMENT or UNIMPLEMENTED naming the field ("linux.resources.memory.limit: …"). A
// property that the specification does not know is passed over, as it demands.
absl::StatusOr<Spec> ParseSpec(absl::string_view json);
// The `process` object alone, as exec takes it.
absl::StatusOr<Process> ParseProcess(absl::string_view json);
// The `linux.resources` object alone, as update takes it.
absl::StatusOr<cgroup::Limits> ParseResources(absl::string_view json);

}  // namespace darse::container
