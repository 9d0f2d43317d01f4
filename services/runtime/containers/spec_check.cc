#include "services/runtime/containers/spec_check.h"

#include <arpa/inet.h>
#include <signal.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "services/runtime/containers/proto_duration.h"

namespace darse::runtime {
namespace {

absl::Status Bad(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

absl::Status BadValue(absl::string_view field, absl::string_view value, absl::string_view why) {
  return Bad(field, absl::StrCat("\"", value, "\" ", why));
}

bool IsAddress(absl::string_view text) {
  unsigned char bytes[16];
  std::string copy(text);
  return inet_pton(AF_INET, copy.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, copy.c_str(), bytes) == 1;
}

bool IsHostname(absl::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  if (name.front() == '-' || name.front() == '.' || name.back() == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
  });
}

bool HasNul(absl::string_view text) { return absl::StrContains(text, absl::string_view("\0", 1)); }

absl::Status CheckProcess(const v1::ContainerSpec& spec) {
  for (const std::string& entry : spec.env()) {
    if (entry.empty() || entry[0] == '=' || !absl::StrContains(entry, '=') || HasNul(entry)) {
      return BadValue("env", entry, "is not KEY=VALUE");
    }
  }
  for (const auto* command : {&spec.entrypoint(), &spec.command()}) {
    for (const std::string& arg : command->args()) {
      if (HasNul(arg)) return Bad("command", "an argument holds a NUL byte");
    }
  }
  if (!spec.working_dir().empty() && spec.working_dir()[0] != '/') {
    return BadValue("working_dir", spec.working_dir(), "is not an absolute path");
  }
  if (!spec.stop_signal().empty()) {
    RETURN_IF_ERROR(Annotate(ParseSignal(spec.stop_signal()).status(), "stop_signal"));
  }
  if (spec.has_stop_timeout() && spec.stop_timeout().seconds() < 0) {
    return Bad("stop_timeout", "is negative");
  }
  for (const std::string& name : spec.cap_add()) {
    if (absl::AsciiStrToUpper(name) == "ALL") continue;
    RETURN_IF_ERROR(Annotate(ParseCapability(name).status(), "cap_add"));
  }
  for (const std::string& name : spec.cap_drop()) {
    if (absl::AsciiStrToUpper(name) == "ALL") continue;
    RETURN_IF_ERROR(Annotate(ParseCapability(name).status(), "cap_drop"));
  }
  for (const v1::Ulimit& limit : spec.ulimits()) {
    RETURN_IF_ERROR(Annotate(ParseUlimitName(limit.name()).status(), "ulimits"));
    if (limit.soft() < -1 || limit.hard() < -1) return BadValue("ulimits", limit.name(), "< -1");
    if (limit.hard() != -1 && (limit.soft() == -1 || limit.soft() > limit.hard())) {
      return BadValue("ulimits", limit.name(), "has a soft limit above the hard one");
    }
  }
  if (spec.oom_score_adj() < -1000 || spec.oom_score_adj() > 1000) {
    return Bad("oom_score_adj", "is not in -1000..1000");
  }
  return absl::OkStatus();
}

absl::Status CheckMount(v1::Mount& mount) {
  if (mount.target().empty() || mount.target()[0] != '/') {
    return BadValue("mounts", mount.target(), "is not an absolute path");
  }
  mount.set_target(CleanPath(mount.target()));
  if (mount.target() == "/") return Bad("mounts", "\"/\" cannot be a mount's target");
  switch (mount.type()) {
    case v1::MOUNT_TYPE_VOLUME:
      if (!mount.source().empty() && !IsValidName(mount.source())) {
        return BadValue("mounts", mount.source(),
                        "is not a volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]*); a bind's source "
                        "is an absolute path");
      }
      break;
    case v1::MOUNT_TYPE_BIND: {
      if (mount.source().empty() || mount.source()[0] != '/') {
        return BadValue("mounts", mount.source(), "is not an absolute path on the host");
      }
      static constexpr absl::string_view kPropagations[] = {
          "", "rprivate", "private", "rslave", "slave", "rshared", "shared"};
      if (std::find(std::begin(kPropagations), std::end(kPropagations), mount.propagation()) ==
          std::end(kPropagations)) {
        return BadValue("mounts", mount.propagation(), "is not a propagation");
      }
      return absl::OkStatus();
    }
    case v1::MOUNT_TYPE_TMPFS:
      if (!mount.source().empty()) return Bad("mounts", "a tmpfs has no source");
      if (mount.tmpfs_size_bytes() < 0) return Bad("mounts", "tmpfs_size_bytes is negative");
      if (mount.tmpfs_mode() > 07777) return Bad("mounts", "tmpfs_mode is above 07777");
      break;
    default:
      return BadValue("mounts", mount.target(), "has no type");
  }
  if (!mount.propagation().empty()) return Bad("mounts", "propagation is for binds only");
  return absl::OkStatus();
}

absl::Status CheckMounts(v1::ContainerSpec& spec) {
  std::set<std::string> targets;
  for (v1::Mount& mount : *spec.mutable_mounts()) {
    RETURN_IF_ERROR(CheckMount(mount));
    if (!targets.insert(mount.target()).second) {
      return BadValue("mounts", mount.target(), "is the target of two mounts");
    }
  }
  if (spec.shm_size_bytes() < 0) return Bad("shm_size_bytes", "is negative");
  for (v1::Device& device : *spec.mutable_devices()) {
    if (!absl::StartsWith(device.host_path(), "/dev/")) {
      return BadValue("devices", device.host_path(), "is not a path below /dev");
    }
    if (device.container_path().empty()) device.set_container_path(device.host_path());
    if (device.container_path()[0] != '/') {
      return BadValue("devices", device.container_path(), "is not an absolute path");
    }
    if (device.permissions().empty()) device.set_permissions("rwm");
    if (device.permissions().find_first_not_of("rwm") != std::string::npos) {
      return BadValue("devices", device.permissions(), "is not made of r, w and m");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPorts(v1::ContainerSpec& spec, std::vector<std::string>& warnings) {
  std::set<std::string> published;
  for (v1::PortMapping& port : *spec.mutable_ports()) {
    if (port.protocol().empty()) port.set_protocol("tcp");
    if (port.protocol() != "tcp" && port.protocol() != "udp") {
      return BadValue("ports", port.protocol(), "is not \"tcp\" or \"udp\"");
    }
    if (port.container_port() < 1 || port.container_port() > 65535) {
      return Bad("ports", "container_port is not in 1..65535");
    }
    if (port.host_port() > 65535) return Bad("ports", "host_port is above 65535");
    if (!port.host_ip().empty() && !IsAddress(port.host_ip())) {
      return BadValue("ports", port.host_ip(), "is not an address");
    }
    std::string key = absl::StrCat(port.host_ip(), " ", port.host_port(), "/", port.protocol());
    if (port.host_port() != 0 && !published.insert(key).second) {
      return Bad("ports", absl::StrCat("host port ", port.host_port(), "/", port.protocol(),
                                       " is published twice"));
    }
  }
  if (spec.ports().empty()) return absl::OkStatus();
  if (spec.network_mode() == v1::NETWORK_MODE_HOST) {
    warnings.push_back("published ports are dropped: the container uses the host's network");
    spec.clear_ports();
  } else if (spec.network_mode() == v1::NETWORK_MODE_NONE ||
             spec.network_mode() == v1::NETWORK_MODE_CONTAINER) {
    return Bad("ports", "only a container on a bridge network publishes ports");
  }
  return absl::OkStatus();
}

absl::Status CheckNetwork(v1::ContainerSpec& spec, std::vector<std::string>& warnings) {
  if (!v1::NetworkMode_IsValid(spec.network_mode())) return Bad("network_mode", "is unknown");
  if (spec.network_mode() == v1::NETWORK_MODE_UNSPECIFIED) {
    spec.set_network_mode(v1::NETWORK_MODE_BRIDGE);
  }
  bool bridge = spec.network_mode() == v1::NETWORK_MODE_BRIDGE;
  if (!bridge && !spec.networks().empty()) {
    return Bad("networks", "only a container in bridge mode is attached to networks");
  }
  std::set<std::string> networks;
  for (const v1::NetworkAttachment& attachment : spec.networks()) {
    if (!networks.insert(attachment.network()).second) {
      return BadValue("networks", attachment.network(), "is listed twice");
    }
    if (!attachment.ipv4_address().empty() && !IsAddress(attachment.ipv4_address())) {
      return BadValue("networks", attachment.ipv4_address(), "is not an address");
    }
  }
  bool joins = spec.network_mode() == v1::NETWORK_MODE_CONTAINER;
  if (joins == spec.network_container().empty()) {
    return Bad("network_container",
               joins ? "is empty in mode CONTAINER" : "is for mode CONTAINER only");
  }
  if (!spec.hostname().empty()) {
    if (!IsHostname(spec.hostname())) return BadValue("hostname", spec.hostname(), "is no name");
    if (spec.uts_mode() == "host")
      return Bad("hostname", "cannot be set in the host's UTS namespace");
  }
  for (const std::string& line : spec.extra_hosts()) {
    std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (parts.first.empty() || (parts.second != "host-gateway" && !IsAddress(parts.second))) {
      return BadValue("extra_hosts", line, "is not name:address");
    }
  }
  for (const std::string& server : spec.dns()) {
    if (!IsAddress(server)) return BadValue("dns", server, "is not an address");
  }
  return CheckPorts(spec, warnings);
}

absl::Status CheckNamespacesAndSysctls(const v1::ContainerSpec& spec) {
  const std::pair<const char*, const std::string*> modes[] = {{"pid_mode", &spec.pid_mode()},
                                                              {"ipc_mode", &spec.ipc_mode()},
                                                              {"uts_mode", &spec.uts_mode()}};
  for (const auto& [field, mode] : modes) {
    if (!mode->empty() && *mode != "host") return BadValue(field, *mode, "is not \"\" or \"host\"");
  }
  const std::string& userns = spec.userns_mode();
  if (!userns.empty() && userns != "host" && userns != "private") {
    return BadValue("userns_mode", userns, "is not \"\", \"private\" or \"host\"");
  }
  for (const auto& [key, value] : spec.sysctls()) {
    bool net = absl::StartsWith(key, "net.");
    bool ipc = absl::StartsWith(key, "fs.mqueue.") || absl::StartsWith(key, "kernel.shm") ||
               absl::StartsWith(key, "kernel.msg") || key == "kernel.sem";
    if (absl::StrContains(key, '/') || absl::StrContains(key, "..") || (!net && !ipc)) {
      return BadValue("sysctls", key, "does not belong to a namespace of the container");
    }
    if (net && spec.network_mode() == v1::NETWORK_MODE_HOST) {
      return BadValue("sysctls", key, "would change the host's network");
    }
    if (ipc && spec.ipc_mode() == "host") {
      return BadValue("sysctls", key, "would change the host's IPC namespace");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHealthcheck(const v1::Healthcheck& check) {
  if (check.test().empty()) return absl::OkStatus();
  const std::string& kind = check.test(0);
  if (kind == "CMD" && check.test_size() < 2) return Bad("healthcheck", "CMD needs a command");
  if (kind == "CMD-SHELL" && check.test_size() != 2) {
    return Bad("healthcheck", "CMD-SHELL takes one line of shell");
  }
  if (kind == "NONE" && check.test_size() != 1) return Bad("healthcheck", "NONE takes nothing");
  if (kind != "CMD" && kind != "CMD-SHELL" && kind != "NONE") {
    return BadValue("healthcheck", kind, "is not CMD, CMD-SHELL or NONE");
  }
  if (check.retries() < 0) return Bad("healthcheck", "retries is negative");
  for (const auto* duration :
       {&check.interval(), &check.timeout(), &check.start_period(), &check.start_interval()}) {
    if (duration->seconds() < 0 || duration->nanos() < 0) {
      return Bad("healthcheck", "a duration is negative");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSpec(v1::ContainerSpec& spec, std::vector<std::string>& warnings) {
  if (!spec.name().empty() && !IsValidName(spec.name())) {
    return BadValue("name", spec.name(), "does not match [a-zA-Z0-9][a-zA-Z0-9_.-]*");
  }
  if (spec.image().empty() && spec.snapshot_id().empty()) {
    return Bad("rootfs", "neither an image nor a snapshot is named");
  }
  for (const auto& [key, value] : spec.labels()) {
    if (key.empty()) return Bad("labels", "a key is empty");
  }
  RETURN_IF_ERROR(CheckProcess(spec));
  RETURN_IF_ERROR(CheckMounts(spec));
  RETURN_IF_ERROR(CheckNetwork(spec, warnings));
  RETURN_IF_ERROR(CheckNamespacesAndSysctls(spec));
  RETURN_IF_ERROR(CheckResources(spec.resources()));
  RETURN_IF_ERROR(CheckRestartPolicy(spec.restart_policy(), spec.auto_remove()));
  RETURN_IF_ERROR(CheckHealthcheck(spec.healthcheck()));
  if (spec.log().max_size_bytes() < 0 || spec.log().max_files() < 0) {
    return Bad("log", "a limit is negative");
  }
  return absl::OkStatus();
}

absl::Status CheckResources(const v1::Resources& resources) {
  if (resources.memory_limit_bytes() < 0 || resources.memory_swap_limit_bytes() < -1 ||
      resources.memory_reservation_bytes() < 0 || resources.nano_cpus() < 0 ||
      resources.cpu_shares() < 0 || resources.pids_limit() < -1) {
    return Bad("resources", "a limit is negative");
  }
  constexpr int64_t kLeastMemory = 6 << 20;
  if (resources.memory_limit_bytes() != 0 && resources.memory_limit_bytes() < kLeastMemory) {
    return Bad("resources", "memory_limit_bytes is below 6 MiB: no container starts with less");
  }
  if (resources.memory_swap_limit_bytes() > 0) {
    if (resources.memory_limit_bytes() == 0) {
      return Bad("resources", "memory_swap_limit_bytes needs memory_limit_bytes");
    }
    if (resources.memory_swap_limit_bytes() < resources.memory_limit_bytes()) {
      return Bad("resources",
                 "memory_swap_limit_bytes counts memory and swap together: it must "
                 "not be below memory_limit_bytes");
    }
  }
  if (resources.memory_limit_bytes() != 0 &&
      resources.memory_reservation_bytes() > resources.memory_limit_bytes()) {
    return Bad("resources", "memory_reservation_bytes is above memory_limit_bytes");
  }
  if (resources.nano_cpus() != 0 && resources.nano_cpus() < 10'000'000) {
    return Bad("resources", "nano_cpus is below a hundredth of a core");
  }
  if (resources.cpu_shares() > 10000) return Bad("resources", "cpu_shares is not in 1..10000");
  if (resources.cpuset_cpus().find_first_not_of("0123456789,-") != std::string::npos) {
    return BadValue("resources", resources.cpuset_cpus(), "is not a list of cpus (\"0-2,4\")");
  }
  return absl::OkStatus();
}

absl::Status CheckRestartPolicy(const v1::RestartPolicy& policy, bool auto_remove) {
  if (!v1::RestartPolicy::Kind_IsValid(policy.kind())) return Bad("restart_policy", "is unknown");
  bool restarts = policy.kind() != v1::RestartPolicy::KIND_UNSPECIFIED &&
                  policy.kind() != v1::RestartPolicy::NO;
  if (restarts && auto_remove) {
    return Bad("restart_policy", "a container that is removed on exit cannot be restarted");
  }
  if (policy.max_retries() < 0) return Bad("restart_policy", "max_retries is negative");
  if (!restarts && (policy.max_retries() > 0 || policy.has_window() || policy.has_delay())) {
    return Bad("restart_policy", "max_retries, window and delay are for one that restarts");
  }
  absl::Duration window = ToDuration(policy.window()), delay = ToDuration(policy.delay());
  if (policy.has_window() && (window < absl::Milliseconds(1) || window > absl::Hours(365 * 24))) {
    return Bad("restart_policy", "window is not between a millisecond and a year");
  }
  if (policy.has_window() && policy.max_retries() == 0) {
    return Bad("restart_policy", "a window needs max_retries");
  }
  if (policy.has_delay() && (delay < absl::Milliseconds(1) || delay > absl::Hours(24))) {
    return Bad("restart_policy", "delay is not between a millisecond and a day");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> ParseSignal(absl::string_view text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number)) {
    if (number >= 1 && number <= 64) return number;
    return absl::InvalidArgumentError(absl::StrCat("signal ", text, " is not in 1..64"));
  }
  std::string name = absl::AsciiStrToUpper(text);
  absl::string_view bare = absl::StripPrefix(name, "SIG");
  for (int candidate = 1; candidate < 32; ++candidate) {
    const char* abbreviation = sigabbrev_np(candidate);
    if (abbreviation != nullptr && bare == abbreviation) return candidate;
  }
  int offset = 0;
  if (bare == "RTMIN") return 34;
  if (bare == "RTMAX") return 64;
  if (absl::ConsumePrefix(&bare, "RTMIN+") && absl::SimpleAtoi(bare, &offset) && offset >= 0 &&
      offset <= 30) {
    return 34 + offset;
  }
  if (absl::ConsumePrefix(&bare, "RTMAX-") && absl::SimpleAtoi(bare, &offset) && offset >= 0 &&
      offset <= 30) {
    return 64 - offset;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a signal"));
}

const std::vector<std::string>& AllCapabilities() {
  static const auto* const kAll = new std::vector<std::string>{"CAP_CHOWN",
                                                               "CAP_DAC_OVERRIDE",
                                                               "CAP_DAC_READ_SEARCH",
                                                               "CAP_FOWNER",
                                                               "CAP_FSETID",
                                                               "CAP_KILL",
                                                               "CAP_SETGID",
                                                               "CAP_SETUID",
                                                               "CAP_SETPCAP",
                                                               "CAP_LINUX_IMMUTABLE",
                                                               "CAP_NET_BIND_SERVICE",
                                                               "CAP_NET_BROADCAST",
                                                               "CAP_NET_ADMIN",
                                                               "CAP_NET_RAW",
                                                               "CAP_IPC_LOCK",
                                                               "CAP_IPC_OWNER",
                                                               "CAP_SYS_MODULE",
                                                               "CAP_SYS_RAWIO",
                                                               "CAP_SYS_CHROOT",
                                                               "CAP_SYS_PTRACE",
                                                               "CAP_SYS_PACCT",
                                                               "CAP_SYS_ADMIN",
                                                               "CAP_SYS_BOOT",
                                                               "CAP_SYS_NICE",
                                                               "CAP_SYS_RESOURCE",
                                                               "CAP_SYS_TIME",
                                                               "CAP_SYS_TTY_CONFIG",
                                                               "CAP_MKNOD",
                                                               "CAP_LEASE",
                                                               "CAP_AUDIT_WRITE",
                                                               "CAP_AUDIT_CONTROL",
                                                               "CAP_SETFCAP",
                                                               "CAP_MAC_OVERRIDE",
                                                               "CAP_MAC_ADMIN",
                                                               "CAP_SYSLOG",
                                                               "CAP_WAKE_ALARM",
                                                               "CAP_BLOCK_SUSPEND",
                                                               "CAP_AUDIT_READ",
                                                               "CAP_PERFMON",
                                                               "CAP_BPF",
                                                               "CAP_CHECKPOINT_RESTORE"};
  return *kAll;
}

absl::StatusOr<std::string> ParseCapability(absl::string_view text) {
  std::string name = absl::AsciiStrToUpper(text);
  if (!absl::StartsWith(name, "CAP_")) name = absl::StrCat("CAP_", name);
  const std::vector<std::string>& all = AllCapabilities();
  if (std::find(all.begin(), all.end(), name) != all.end()) return name;
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a capability"));
}

absl::StatusOr<std::string> ParseUlimitName(absl::string_view text) {
  static constexpr absl::string_view kNames[] = {
      "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
      "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  if (std::find(std::begin(kNames), std::end(kNames), text) == std::end(kNames)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not one of ", absl::StrJoin(kNames, ", ")));
  }
  return absl::StrCat("RLIMIT_", absl::AsciiStrToUpper(text));
}

std::string CleanPath(absl::string_view path) {
  std::vector<absl::string_view> kept;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
      continue;
    }
    kept.push_back(part);
  }
  return absl::StrCat("/", absl::StrJoin(kept, "/"));
}

bool IsValidName(absl::string_view name) {
  if (name.empty() || name.size() > 128 || !absl::ascii_isalnum(name.front())) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

}  // namespace darse::runtime
