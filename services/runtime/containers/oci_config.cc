#include "services/runtime/containers/oci_config.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "libs/linux/capability/capability.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"
#include "services/runtime/containers/spec_check.h"
#include "services/runtime/networks/id_ranges.h"

namespace darse::runtime {
namespace {

// A JSON object or array being written; what is nested is written by a function between Begin and
// End.
class Json {
 public:
  std::string Take() { return std::string(buffer_.GetString(), buffer_.GetSize()); }

  Json& Key(absl::string_view key) {
    writer_.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
    return *this;
  }
  void Text(absl::string_view value) {
    writer_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  }
  void Text(absl::string_view key, absl::string_view value) { Key(key).Text(value); }
  void Int(absl::string_view key, int64_t value) {
    Key(key);
    writer_.Int64(value);
  }
  void Bool(absl::string_view key, bool value) {
    Key(key);
    writer_.Bool(value);
  }
  template <typename Texts>
  void Strings(absl::string_view key, const Texts& values) {
    Key(key);
    writer_.StartArray();
    for (const auto& value : values) Text(value);
    writer_.EndArray();
  }
  // `json` must be valid.
  void Raw(absl::string_view key, absl::string_view json) {
    Key(key);
    writer_.RawValue(json.data(), json.size(), rapidjson::kObjectType);
  }
  template <typename Body>
  void Object(Body body) {
    writer_.StartObject();
    body();
    writer_.EndObject();
  }
  template <typename Body>
  void Object(absl::string_view key, Body body) {
    Key(key).Object(body);
  }
  template <typename Body>
  void Array(absl::string_view key, Body body) {
    Key(key);
    writer_.StartArray();
    body();
    writer_.EndArray();
  }
  void Number(int64_t value) { writer_.Int64(value); }

 private:
  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_{buffer_};
};

constexpr absl::string_view kDockerCapabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};

constexpr absl::string_view kMaskedPaths[] = {
    "/proc/asound",     "/proc/acpi",        "/proc/interrupts",
    "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};

constexpr absl::string_view kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                "/proc/sysrq-trigger"};

// "All" is what there is to give: a machine that is a container itself has less than the kernel.
const std::vector<std::string>& Grantable() {
  static const auto* const kGrantable = [] {
    auto* names = new std::vector<std::string>();
    absl::StatusOr<capability::Set> bounding = capability::BoundingSet();
    for (const std::string& name : AllCapabilities()) {
      absl::StatusOr<int> number = capability::Parse(name);
      if (!number.ok() || !bounding.ok() || (*bounding & capability::Bit(*number)) != 0) {
        names->push_back(name);
      }
    }
    return names;
  }();
  return *kGrantable;
}

struct OciMount {
  std::string target;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

std::vector<OciMount> SystemMounts(const v1::ContainerSpec& spec) {
  std::string writable = spec.privileged() ? "rw" : "ro";
  std::vector<OciMount> mounts = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", writable}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {writable, "nosuid", "noexec", "nodev"}}};
  if (spec.ipc_mode() == "host") {
    mounts.push_back({"/dev/mqueue", "bind", "/dev/mqueue", {"rbind", "rw"}});
    mounts.push_back({"/dev/shm", "bind", "/dev/shm", {"rbind", "rw"}});
  } else {
    int64_t shm = spec.shm_size_bytes() != 0 ? spec.shm_size_bytes() : 64 << 20;
    mounts.push_back({"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}});
    mounts.push_back({"/dev/shm",
                      "tmpfs",
                      "shm",
                      {"nosuid", "noexec", "nodev", "mode=1777", absl::StrCat("size=", shm)}});
  }
  return mounts;
}

OciMount UserMount(const OciInput& input, const v1::Mount& mount) {
  std::string access = mount.read_only() ? "ro" : "rw";
  switch (mount.type()) {
    case v1::MOUNT_TYPE_TMPFS: {
      uint32_t mode = mount.tmpfs_mode() != 0 ? mount.tmpfs_mode() : 01777;
      OciMount tmpfs{mount.target(),
                     "tmpfs",
                     "tmpfs",
                     {"nosuid", "nodev", "noexec", access, absl::StrFormat("mode=%04o", mode)}};
      if (mount.tmpfs_size_bytes() > 0) {
        tmpfs.options.push_back(absl::StrCat("size=", mount.tmpfs_size_bytes()));
      }
      return tmpfs;
    }
    default: {
      bool is_bind = mount.type() == v1::MOUNT_TYPE_BIND;
      OciMount bind{
          mount.target(),
          "bind",
          is_bind ? mount.source() : input.volume_paths.at(mount.source()),
          {"rbind", mount.propagation().empty() ? "rprivate" : mount.propagation(), access}};
      // On disk are the ids of the inside, whichever the container has at this start.
      if (!input.userns_path.empty()) bind.options.push_back("ridmap");
      return bind;
    }
  }
}

// Parents before what lies in them; otherwise in the order of the spec.
std::vector<OciMount> UserMounts(const OciInput& input) {
  std::vector<OciMount> mounts;
  std::set<std::string> targets;
  for (const v1::Mount& mount : input.spec.mounts()) {
    mounts.push_back(UserMount(input, mount));
    targets.insert(mount.target());
  }
  for (absl::string_view name : {"hosts", "hostname", "resolv.conf"}) {
    std::string target = absl::StrCat("/etc/", name);
    // A mount of the user's own wins.
    if (input.etc_dir.empty() || targets.count(target) != 0) continue;
    mounts.push_back({target,
                      "bind",
                      absl::StrCat(input.etc_dir, "/", name),
                      {"rbind", "rprivate", input.spec.read_only() ? "ro" : "rw"}});
  }
  if (!input.init_path.empty()) {
    mounts.push_back({"/dev/darse-init", "bind", input.init_path, {"bind", "rprivate", "ro"}});
  }
  std::stable_sort(mounts.begin(), mounts.end(), [](const OciMount& a, const OciMount& b) {
    return std::count(a.target.begin(), a.target.end(), '/') <
           std::count(b.target.begin(), b.target.end(), '/');
  });
  return mounts;
}

void WriteMounts(Json& json, const OciInput& input) {
  std::vector<OciMount> mounts = SystemMounts(input.spec);
  std::vector<OciMount> more = UserMounts(input);
  // What the user puts at one of the system's places replaces it.
  for (const OciMount& mount : more) {
    mounts.erase(std::remove_if(mounts.begin(), mounts.end(),
                                [&](const OciMount& old) { return old.target == mount.target; }),
                 mounts.end());
  }
  mounts.insert(mounts.end(), more.begin(), more.end());
  json.Array("mounts", [&] {
    for (const OciMount& mount : mounts) {
      json.Object([&] {
        json.Text("destination", mount.target);
        json.Text("type", mount.type);
        json.Text("source", mount.source);
        json.Strings("options", mount.options);
      });
    }
  });
}

void WriteProcess(Json& json, const v1::ContainerSpec& spec, const ProcessInput& input) {
  json.Bool("terminal", input.tty);
  if (input.tty && input.columns != 0 && input.rows != 0) {
    json.Object("consoleSize", [&] {
      json.Int("height", input.rows);
      json.Int("width", input.columns);
    });
  }
  json.Object("user", [&] {
    json.Int("uid", input.user.uid);
    json.Int("gid", input.user.gid);
    // As in Docker: the umask is the usual one, whatever the runtime's is.
    json.Int("umask", 022);
    if (!input.user.additional_gids.empty()) {
      json.Array("additionalGids", [&] {
        for (uint32_t gid : input.user.additional_gids) json.Number(gid);
      });
    }
  });
  json.Strings("args", input.args);
  json.Strings("env", input.env);
  json.Text("cwd", input.cwd);
  v1::ContainerSpec granted = spec;
  if (input.privileged) granted.set_privileged(true);
  std::vector<std::string> capabilities = Capabilities(granted);
  json.Object("capabilities", [&] {
    json.Strings("bounding", capabilities);
    // Others than root get theirs from what they execute, as in Docker.
    std::vector<std::string> held = input.user.uid == 0 ? capabilities : std::vector<std::string>();
    json.Strings("effective", held);
    json.Strings("permitted", held);
  });
  if (!spec.ulimits().empty()) {
    json.Array("rlimits", [&] {
      for (const v1::Ulimit& limit : spec.ulimits()) {
        absl::StatusOr<std::string> name = ParseUlimitName(limit.name());
        if (!name.ok()) continue;
        json.Object([&] {
          json.Text("type", *name);
          auto write = [&](absl::string_view key, int64_t value) {
            // -1 is RLIM_INFINITY, the largest unsigned number.
            if (value == -1) {
              json.Raw(key, "18446744073709551615");
            } else {
              json.Int(key, value);
            }
          };
          write("hard", limit.hard());
          write("soft", limit.soft());
        });
      }
    });
  }
  json.Bool("noNewPrivileges", spec.no_new_privileges());
  json.Int("oomScoreAdj", spec.oom_score_adj());
}

void WriteDeviceRule(Json& json, bool allow, char type, int64_t major, int64_t minor,
                     absl::string_view access) {
  json.Object([&] {
    json.Bool("allow", allow);
    if (type != 'a') json.Text("type", absl::string_view(&type, 1));
    if (major >= 0) json.Int("major", major);
    if (minor >= 0) json.Int("minor", minor);
    json.Text("access", access);
  });
}

void WriteDeviceRules(Json& json, const OciInput& input) {
  json.Array("devices", [&] {
    if (input.spec.privileged()) {
      WriteDeviceRule(json, true, 'a', -1, -1, "rwm");
      return;
    }
    WriteDeviceRule(json, false, 'a', -1, -1, "rwm");
    // Any node may be made, but only these be opened: null, zero, full, random, urandom, tty,
    // console, ptmx, pts.
    WriteDeviceRule(json, true, 'c', -1, -1, "m");
    WriteDeviceRule(json, true, 'b', -1, -1, "m");
    constexpr std::pair<int, int> kAlways[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},   {1, 9},
                                               {5, 0}, {5, 1}, {5, 2}, {136, -1}};
    for (const auto& [major, minor] : kAlways)
      WriteDeviceRule(json, true, 'c', major, minor, "rwm");
    for (const HostDevice& device : input.devices) {
      WriteDeviceRule(json, true, device.type, device.major, device.minor, device.permissions);
    }
  });
}

void WriteResources(Json& json, const OciInput& input) {
  const v1::Resources& limits = input.spec.resources();
  json.Object("resources", [&] {
    WriteDeviceRules(json, input);
    if (limits.memory_limit_bytes() > 0 || limits.memory_reservation_bytes() > 0) {
      json.Object("memory", [&] {
        if (limits.memory_limit_bytes() > 0) {
          json.Int("limit", limits.memory_limit_bytes());
          // Docker's default: as much swap as memory.
          json.Int("swap", limits.memory_swap_limit_bytes() != 0 ? limits.memory_swap_limit_bytes()
                                                                 : 2 * limits.memory_limit_bytes());
        }
        if (limits.memory_reservation_bytes() > 0) {
          json.Int("reservation", limits.memory_reservation_bytes());
        }
      });
    }
    if (limits.nano_cpus() > 0 || limits.cpu_shares() > 0 || !limits.cpuset_cpus().empty()) {
      json.Object("cpu", [&] {
        if (limits.cpu_shares() > 0) json.Int("shares", limits.cpu_shares());
        if (limits.nano_cpus() > 0) {
          json.Int("quota", limits.nano_cpus() / 10'000);
          json.Int("period", 100'000);
        }
        if (!limits.cpuset_cpus().empty()) json.Text("cpus", limits.cpuset_cpus());
      });
    }
    if (limits.pids_limit() > 0) {
      json.Object("pids", [&] { json.Int("limit", limits.pids_limit()); });
    }
  });
}

void WriteNamespaces(Json& json, const OciInput& input) {
  auto add = [&](absl::string_view type, absl::string_view path = "") {
    json.Object([&] {
      json.Text("type", type);
      if (!path.empty()) json.Text("path", path);
    });
  };
  json.Array("namespaces", [&] {
    add("mount");
    add("cgroup");
    if (input.spec.pid_mode() != "host") add("pid");
    if (input.spec.ipc_mode() != "host") add("ipc");
    if (input.spec.uts_mode() != "host") add("uts");
    if (!input.netns_path.empty()) add("network", input.netns_path);
    if (!input.userns_path.empty()) add("user", input.userns_path);
  });
  if (input.userns_path.empty()) return;
  for (const char* key : {"uidMappings", "gidMappings"}) {
    json.Array(key, [&] {
      json.Object([&] {
        json.Int("containerID", 0);
        json.Int("hostID", input.first_id);
        json.Int("size", kIdsOfOne);
      });
    });
  }
}

// A range "FIRST LAST" within the ids of a user namespace; anything else as it is.
std::string Clamped(const std::string& range) {
  std::vector<std::string> words = absl::StrSplit(range, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  uint32_t first = 0, last = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &first) ||
      !absl::SimpleAtoi(words[1], &last) || first >= kIdsOfOne) {
    return range;
  }
  return absl::StrCat(first, " ", std::min(last, kIdsOfOne - 1));
}

void WriteSysctls(Json& json, const OciInput& input) {
  // What each container has (low ports and ping without a capability) its network namespace brings.
  std::map<std::string, std::string> sysctls(input.spec.sysctls().begin(),
                                             input.spec.sysctls().end());
  // "All groups" is written with numbers that a user namespace does not have.
  auto ping = sysctls.find("net.ipv4.ping_group_range");
  if (ping != sysctls.end() && !input.userns_path.empty()) ping->second = Clamped(ping->second);
  if (sysctls.empty()) return;
  json.Object("sysctl", [&] {
    for (const auto& [key, value] : sysctls) json.Text(key, value);
  });
}

bool NeedsSharedRoot(const v1::ContainerSpec& spec) {
  return std::any_of(spec.mounts().begin(), spec.mounts().end(), [](const v1::Mount& mount) {
    return mount.propagation() == "rshared" || mount.propagation() == "shared";
  });
}

void WriteLinux(Json& json, const OciInput& input) {
  json.Object("linux", [&] {
    json.Text("cgroupsPath", input.cgroup_path);
    WriteNamespaces(json, input);
    WriteResources(json, input);
    WriteSysctls(json, input);
    if (!input.devices.empty()) {
      json.Array("devices", [&] {
        for (const HostDevice& device : input.devices) {
          json.Object([&] {
            json.Text("path", device.path);
            json.Text("type", absl::string_view(&device.type, 1));
            json.Int("major", device.major);
            json.Int("minor", device.minor);
            json.Int("fileMode", device.mode & 07777);
            json.Int("uid", device.uid);
            json.Int("gid", device.gid);
          });
        }
      });
    }
    // A slave: what the host mounts later below a bind shows up only where the bind asks for it.
    json.Text("rootfsPropagation", NeedsSharedRoot(input.spec) ? "shared" : "slave");
    if (!input.spec.privileged()) {
      json.Strings("maskedPaths", kMaskedPaths);
      json.Strings("readonlyPaths", kReadonlyPaths);
    }
    if (!input.seccomp_json.empty()) json.Raw("seccomp", input.seccomp_json);
  });
}

}  // namespace

std::string BuildOciConfig(const OciInput& input) {
  ProcessInput process;
  if (!input.init_path.empty()) process.args = {"/dev/darse-init", "--"};
  process.args.insert(process.args.end(), input.spec.command().args().begin(),
                      input.spec.command().args().end());
  process.env = BuildEnv(input.spec, input.hostname, input.user.home, input.spec.tty());
  process.cwd = input.spec.working_dir();
  process.user = input.user;
  process.tty = input.spec.tty();
  Json json;
  json.Object([&] {
    json.Text("ociVersion", "1.0.2");
    json.Object("process", [&] { WriteProcess(json, input.spec, process); });
    json.Object("root", [&] {
      json.Text("path", input.rootfs_path);
      json.Bool("readonly", input.spec.read_only());
    });
    if (input.spec.uts_mode() != "host") json.Text("hostname", input.hostname);
    WriteMounts(json, input);
    WriteLinux(json, input);
  });
  return json.Take();
}

std::string BuildOciProcess(const v1::ContainerSpec& spec, const ProcessInput& input) {
  Json json;
  json.Object([&] { WriteProcess(json, spec, input); });
  return json.Take();
}

std::vector<std::string> BuildEnv(const v1::ContainerSpec& spec, absl::string_view hostname,
                                  absl::string_view home, bool tty,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> env = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      absl::StrCat("HOSTNAME=", hostname)};
  if (tty) env.push_back("TERM=xterm");
  auto set = [&env](const std::string& entry) {
    std::string prefix = entry.substr(0, entry.find('=') + 1);
    auto same = std::find_if(env.begin(), env.end(),
                             [&](const std::string& old) { return absl::StartsWith(old, prefix); });
    if (same == env.end()) {
      env.push_back(entry);
    } else {
      *same = entry;
    }
  };
  set(absl::StrCat("HOME=", home));
  for (const std::string& entry : spec.env()) set(entry);
  for (const std::string& entry : more) set(entry);
  return env;
}

std::vector<std::string> Capabilities(const v1::ContainerSpec& spec) {
  if (spec.privileged()) return Grantable();
  auto names_all = [](const auto& names) {
    return std::any_of(names.begin(), names.end(), [](const std::string& name) {
      return absl::AsciiStrToUpper(name) == "ALL";
    });
  };
  auto named = [](const auto& names) {
    std::set<std::string> parsed;
    for (const std::string& name : names) {
      absl::StatusOr<std::string> capability = ParseCapability(name);
      if (capability.ok()) parsed.insert(*capability);
    }
    return parsed;
  };
  std::set<std::string> held;
  if (names_all(spec.cap_add())) {
    held.insert(Grantable().begin(), Grantable().end());
  } else if (!names_all(spec.cap_drop())) {
    held.insert(std::begin(kDockerCapabilities), std::end(kDockerCapabilities));
  }
  for (const std::string& name : named(spec.cap_drop())) held.erase(name);
  // Added ones win over dropped ones, so that "drop ALL, add X" is X.
  for (const std::string& name : named(spec.cap_add())) held.insert(name);
  std::vector<std::string> ordered;
  for (const std::string& name : AllCapabilities()) {
    if (held.count(name) != 0) ordered.push_back(name);
  }
  return ordered;
}

}  // namespace darse::runtime
