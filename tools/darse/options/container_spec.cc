#include "tools/darse/options/container_spec.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "tools/darse/options/key_values.h"
#include "tools/darse/options/mount_option.h"
#include "tools/darse/options/port_option.h"
#include "tools/darse/output/units.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

absl::Status Bad(absl::string_view flag, absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(flag, " \"", text, "\": ", why));
}

absl::StatusOr<int64_t> Size(const Arguments& arguments, const char* flag) {
  if (!arguments.Has(flag)) return 0;
  const std::string text = arguments.Text(flag);
  if (text == "-1") return 0;
  return Annotate(ParseSize(text), absl::StrCat("--", flag));
}

void SetDuration(absl::Duration duration, google::protobuf::Duration& out) {
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  out.set_seconds(nanos / 1000000000);
  out.set_nanos(static_cast<int32_t>(nanos % 1000000000));
}

absl::StatusOr<absl::Duration> DurationOf(const Arguments& arguments, const char* flag) {
  return Annotate(ParseDuration(arguments.Text(flag)), absl::StrCat("--", flag));
}

constexpr const char* kRestartFlags[] = {"restart", "restart-max-attempts", "restart-window",
                                         "restart-delay"};

absl::Status ReadHealthcheck(const Arguments& arguments, ContainerSpec& spec) {
  static constexpr const char* kDurations[] = {"health-interval", "health-timeout",
                                               "health-start-period", "health-start-interval"};
  bool asked = arguments.Has("health-cmd") || arguments.Has("health-retries");
  for (const char* flag : kDurations) asked = asked || arguments.Has(flag);
  if (arguments.On("no-healthcheck")) {
    if (asked) {
      return absl::InvalidArgumentError("--no-healthcheck excludes the --health-… flags");
    }
    spec.mutable_healthcheck()->add_test("NONE");
    return absl::OkStatus();
  }
  if (!asked) return absl::OkStatus();
  Healthcheck& check = *spec.mutable_healthcheck();
  if (!arguments.Has("health-cmd")) {
    return absl::InvalidArgumentError(
        "--health-interval and the like need --health-cmd: with them the image's healthcheck is "
        "replaced as a whole");
  }
  check.add_test("CMD-SHELL");
  check.add_test(arguments.Text("health-cmd"));
  google::protobuf::Duration* (Healthcheck::*fields[])() = {
      &Healthcheck::mutable_interval, &Healthcheck::mutable_timeout,
      &Healthcheck::mutable_start_period, &Healthcheck::mutable_start_interval};
  for (size_t i = 0; i < std::size(kDurations); ++i) {
    if (!arguments.Has(kDurations[i])) continue;
    ASSIGN_OR_RETURN(absl::Duration duration, DurationOf(arguments, kDurations[i]));
    SetDuration(duration, *(check.*fields[i])());
  }
  check.set_retries(static_cast<int32_t>(arguments.Number("health-retries", 0)));
  return absl::OkStatus();
}

// "name", or docker's "name=net,alias=a,alias=b,ip=192.0.2.7".
absl::StatusOr<NetworkAttachment> ParseAttachment(absl::string_view text) {
  NetworkAttachment attachment;
  if (!absl::StrContains(text, "=")) {
    attachment.set_network(std::string(text));
    return attachment;
  }
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    std::pair<std::string, std::string> pair = absl::StrSplit(item, absl::MaxSplits('=', 1));
    if (pair.first == "name") {
      attachment.set_network(pair.second);
    } else if (pair.first == "alias") {
      attachment.add_aliases(pair.second);
    } else if (pair.first == "ip") {
      attachment.set_ipv4_address(pair.second);
    } else {
      return Bad("--network", text,
                 absl::StrCat("\"", pair.first, "\" is not supported (name, alias, ip)"));
    }
  }
  if (attachment.network().empty()) return Bad("--network", text, "name= is missing");
  return attachment;
}

absl::Status ReadNetworks(const Arguments& arguments, ContainerSpec& spec) {
  const std::vector<std::string>& asked = arguments.Texts("network");
  spec.set_network_mode(NETWORK_MODE_BRIDGE);
  for (const std::string& text : asked) {
    const bool special = text == "none" || text == "host" || absl::StartsWith(text, "container:");
    if (special && asked.size() > 1) {
      return Bad("--network", text, "excludes any other --network");
    }
    if (text == "none") {
      spec.set_network_mode(NETWORK_MODE_NONE);
    } else if (text == "host") {
      spec.set_network_mode(NETWORK_MODE_HOST);
    } else if (special) {
      spec.set_network_mode(NETWORK_MODE_CONTAINER);
      spec.set_network_container(text.substr(std::string("container:").size()));
    } else if (text != "bridge" && text != "default") {
      ASSIGN_OR_RETURN(*spec.add_networks(), ParseAttachment(text));
    }
  }
  const std::vector<std::string>& aliases = arguments.Texts("network-alias");
  if (aliases.empty() && !arguments.Has("ip")) return absl::OkStatus();
  if (spec.networks_size() != 1) {
    return absl::InvalidArgumentError(
        "--network-alias and --ip need exactly one --network NAME; with several write --network "
        "name=NAME,alias=ALIAS,ip=ADDRESS");
  }
  for (const std::string& alias : aliases) spec.mutable_networks(0)->add_aliases(alias);
  if (arguments.Has("ip")) spec.mutable_networks(0)->set_ipv4_address(arguments.Text("ip"));
  return absl::OkStatus();
}

absl::Status ReadSecurity(const Arguments& arguments, Surroundings& around, ContainerSpec& spec) {
  for (const std::string& text : arguments.Texts("security-opt")) {
    // Docker takes "=" and, from older days, ":".
    const size_t separator = text.find_first_of("=:");
    const std::string key = text.substr(0, separator);
    const std::string value = separator == std::string::npos ? "" : text.substr(separator + 1);
    if (key == "no-new-privileges" && (value.empty() || value == "true" || value == "false")) {
      spec.set_no_new_privileges(value != "false");
    } else if (key == "seccomp" && value == "unconfined") {
      spec.set_seccomp_profile("unconfined");
    } else if (key == "seccomp" && !value.empty()) {
      ASSIGN_OR_RETURN(std::string profile,
                       Annotate(around.ReadFile(value), "--security-opt seccomp"));
      spec.set_seccomp_profile(std::move(profile));
    } else if (!(key == "apparmor" && value == "unconfined") &&
               !(key == "label" && value == "disable")) {
      return Bad("--security-opt", text,
                 "is not supported (no-new-privileges, seccomp=unconfined, seccomp=FILE)");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadLogOptions(const Arguments& arguments, ContainerSpec& spec) {
  ASSIGN_OR_RETURN(auto options, PairsFrom("--log-opt", arguments.Texts("log-opt")));
  for (const auto& [key, value] : options) {
    if (key == "max-size") {
      ASSIGN_OR_RETURN(int64_t size, Annotate(ParseSize(value), "--log-opt max-size"));
      spec.mutable_log()->set_max_size_bytes(size);
    } else if (key == "max-file") {
      int32_t files;
      if (!absl::SimpleAtoi(value, &files) || files < 1) {
        return Bad("--log-opt max-file", value, "is no number above 0");
      }
      spec.mutable_log()->set_max_files(files);
    } else {
      return Bad("--log-opt", key, "is not supported (max-size, max-file)");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadUlimits(const Arguments& arguments, ContainerSpec& spec) {
  for (const std::string& text : arguments.Texts("ulimit")) {
    const size_t equals = text.find('=');
    Ulimit& limit = *spec.add_ulimits();
    limit.set_name(text.substr(0, equals));
    const std::string values = equals == std::string::npos ? "" : text.substr(equals + 1);
    const std::vector<std::string> ends = absl::StrSplit(values, ':');
    int64_t soft;
    int64_t hard;
    if (limit.name().empty() || ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &soft) ||
        !absl::SimpleAtoi(ends.back(), &hard) || soft < -1 || hard < -1) {
      return Bad("--ulimit", text, "write NAME=SOFT[:HARD], as in nofile=1024:2048");
    }
    limit.set_soft(soft);
    limit.set_hard(hard);
  }
  return absl::OkStatus();
}

absl::Status ReadDevices(const Arguments& arguments, ContainerSpec& spec) {
  for (const std::string& text : arguments.Texts("device")) {
    std::vector<std::string> parts = absl::StrSplit(text, ':');
    // "/dev/x:rw" has no path inside.
    if (parts.size() == 2 && !absl::StartsWith(parts[1], "/"))
      parts.insert(parts.begin() + 1, parts[0]);
    if (parts.size() == 1) parts.push_back(parts[0]);
    if (parts.size() == 2) parts.push_back("rwm");
    if (parts.size() != 3 || !absl::StartsWith(parts[0], "/") || !absl::StartsWith(parts[1], "/") ||
        parts[2].empty() || parts[2].find_first_not_of("rwm") != std::string::npos) {
      return Bad("--device", text, "write /dev/HOST[:/dev/INSIDE][:rwm]");
    }
    Device& device = *spec.add_devices();
    device.set_host_path(parts[0]);
    device.set_container_path(parts[1]);
    device.set_permissions(parts[2]);
  }
  return absl::OkStatus();
}

absl::Status ReadNamespaces(const Arguments& arguments, ContainerSpec& spec) {
  for (const char* flag : {"pid", "ipc", "uts"}) {
    const std::string mode = arguments.Text(flag);
    const bool own = mode.empty() || mode == "private" || mode == "shareable";
    if (!own && mode != "host") {
      return Bad(absl::StrCat("--", flag), mode, "is not supported (host)");
    }
    const std::string value = own ? "" : "host";
    if (flag[0] == 'p') spec.set_pid_mode(value);
    if (flag[0] == 'i') spec.set_ipc_mode(value);
    if (flag[0] == 'u') spec.set_uts_mode(value);
  }
  return absl::OkStatus();
}

absl::Status ReadUserNamespace(const Arguments& arguments, ContainerSpec& spec) {
  const std::string mode = arguments.Text("userns");
  if (!mode.empty() && mode != "host" && mode != "private") {
    return Bad("--userns", mode, "is not supported (host, private)");
  }
  spec.set_userns_mode(mode);
  return absl::OkStatus();
}

absl::Status ReadMounts(const Arguments& arguments, Surroundings& around, ContainerSpec& spec) {
  for (const std::string& text : arguments.Texts("volume")) {
    ASSIGN_OR_RETURN(*spec.add_mounts(), ParseVolumeOption(text, around));
  }
  for (const std::string& text : arguments.Texts("mount")) {
    ASSIGN_OR_RETURN(*spec.add_mounts(), ParseMountOption(text, around));
  }
  for (const std::string& text : arguments.Texts("tmpfs")) {
    ASSIGN_OR_RETURN(*spec.add_mounts(), ParseTmpfsOption(text));
  }
  return absl::OkStatus();
}

absl::Status ReadProcess(const Arguments& arguments, Surroundings& around, ContainerSpec& spec) {
  const std::vector<std::string>& words = arguments.positional();
  for (size_t i = 1; i < words.size(); ++i) spec.mutable_command()->add_args(words[i]);
  if (arguments.Has("entrypoint")) {
    // --entrypoint "" takes the image's away.
    const std::string entrypoint = arguments.Text("entrypoint");
    spec.mutable_entrypoint();
    if (!entrypoint.empty()) spec.mutable_entrypoint()->add_args(entrypoint);
  }
  ASSIGN_OR_RETURN(std::vector<std::string> environment,
                   EnvironmentFrom(arguments.Texts("env-file"), arguments.Texts("env"), around));
  for (std::string& setting : environment) spec.add_env(std::move(setting));
  spec.set_working_dir(arguments.Text("workdir"));
  if (!spec.working_dir().empty() && spec.working_dir()[0] != '/') {
    return Bad("--workdir", spec.working_dir(), "must be absolute");
  }
  spec.set_user(arguments.Text("user"));
  for (const std::string& group : arguments.Texts("group-add")) spec.add_additional_groups(group);
  spec.set_hostname(arguments.Text("hostname"));
  spec.set_tty(arguments.On("tty"));
  spec.set_stdin_open(arguments.On("interactive"));
  spec.set_stop_signal(arguments.Text("stop-signal"));
  if (arguments.Has("stop-timeout")) {
    ASSIGN_OR_RETURN(absl::Duration timeout, DurationOf(arguments, "stop-timeout"));
    SetDuration(timeout, *spec.mutable_stop_timeout());
  }
  return absl::OkStatus();
}

void CopyTexts(const std::vector<std::string>& texts,
               google::protobuf::RepeatedPtrField<std::string>& out) {
  for (const std::string& text : texts) *out.Add() = text;
}

}  // namespace

const std::vector<Flag>& LimitFlags() {
  static const auto* const kFlags = new std::vector<Flag>{
      {"memory", 'm', Flag::kText, "SIZE", "most memory, such as 512m"},
      {"memory-swap", 0, Flag::kText, "SIZE", "most memory and swap together; -1: no limit"},
      {"memory-reservation", 0, Flag::kText, "SIZE", "memory kept for it when the host is short"},
      {"cpus", 0, Flag::kText, "NUMBER", "most processor time, in cores, such as 1.5"},
      {"cpu-shares", 'c', Flag::kNumber, "NUMBER", "weight against others, 1024 is usual"},
      {"cpuset-cpus", 0, Flag::kText, "LIST", "cores it may run on, such as 0-2,4"},
      {"pids-limit", 0, Flag::kNumber, "NUMBER", "most processes and threads; -1: no limit"},
      {"restart", 0, Flag::kText, "POLICY",
       "no, always, unless-stopped, on-failure or on-failure:TIMES"},
      {"restart-max-attempts", 0, Flag::kNumber, "TIMES", "most restarts, of any policy"},
      {"restart-window", 0, Flag::kText, "DURATION", "the time in which that many are allowed"},
      {"restart-delay", 0, Flag::kText, "DURATION",
       "before the first restart, doubled for each further one; 100ms is usual"},
  };
  return *kFlags;
}

const std::vector<Flag>& ContainerSpecFlags() {
  static const auto* const kFlags = [] {
    auto* flags = new std::vector<Flag>{
        {"name", 0, Flag::kText, "NAME", "name of the container; made up where left out"},
        {"interactive", 'i', Flag::kSwitch, "", "keep standard input open"},
        {"tty", 't', Flag::kSwitch, "", "give it a terminal"},
        {"env", 'e', Flag::kTexts, "KEY=VALUE", "environment variable; KEY alone: yours"},
        {"env-file", 0, Flag::kTexts, "FILE", "file of environment variables", "@file"},
        {"volume", 'v', Flag::kTexts, "[SOURCE:]TARGET[:ro]",
         "mount a volume or a path of the host"},
        {"mount", 0, Flag::kTexts, "KEY=VALUE,…", "mount, as in type=bind,source=/a,target=/b"},
        {"tmpfs", 0, Flag::kTexts, "TARGET[:size=64m]", "mount an empty file system in memory"},
        {"publish", 'p', Flag::kTexts, "[IP:]HOST:CONTAINER[/udp]", "publish a port or a range"},
        {"network", 0, Flag::kTexts, "NAME", "network, none, host, or container:NAME", "@network"},
        {"network-alias", 0, Flag::kTexts, "NAME", "one more name on that network"},
        {"ip", 0, Flag::kText, "ADDRESS", "IPv4 address on that network"},
        {"hostname", 'h', Flag::kText, "NAME", "host name inside"},
        {"add-host", 0, Flag::kTexts, "NAME:ADDRESS",
         "line for /etc/hosts; host-gateway: this host"},
        {"dns", 0, Flag::kTexts, "ADDRESS", "name server instead of the host's"},
        {"dns-search", 0, Flag::kTexts, "DOMAIN", "search domain"},
        {"workdir", 'w', Flag::kText, "DIR", "working directory inside"},
        {"user", 'u', Flag::kText, "USER[:GROUP]", "user and group, names or numbers"},
        {"group-add", 0, Flag::kTexts, "GROUP", "additional group"},
        {"entrypoint", 0, Flag::kText, "PROGRAM", "instead of the image's; \"\" for none"},
        {"label", 'l', Flag::kTexts, "KEY=VALUE", "label"},
        {"label-file", 0, Flag::kTexts, "FILE", "file of labels", "@file"},
    };
    flags->insert(flags->end(), LimitFlags().begin(), LimitFlags().end());
    flags->insert(
        flags->end(),
        {
            {"stop-signal", 0, Flag::kText, "SIGNAL",
             "what `stop` sends; SIGTERM unless the image says"},
            {"stop-timeout", 0, Flag::kText, "SECONDS", "how long `stop` waits before SIGKILL"},
            {"health-cmd", 0, Flag::kText, "COMMAND",
             "shell command that tells whether it is healthy"},
            {"health-interval", 0, Flag::kText, "DURATION", "time between probes (30s)"},
            {"health-timeout", 0, Flag::kText, "DURATION", "longest probe (30s)"},
            {"health-start-period", 0, Flag::kText, "DURATION",
             "time in which failures do not count"},
            {"health-start-interval", 0, Flag::kText, "DURATION", "time between probes in it (5s)"},
            {"health-retries", 0, Flag::kNumber, "NUMBER", "failures until it is unhealthy (3)"},
            {"no-healthcheck", 0, Flag::kSwitch, "", "without the image's healthcheck"},
            {"init", 0, Flag::kSwitch, "",
             "a small init as first process, which reaps and forwards"},
            {"read-only", 0, Flag::kSwitch, "", "root file system read-only"},
            {"cap-add", 0, Flag::kTexts, "CAPABILITY", "one more capability, or ALL"},
            {"cap-drop", 0, Flag::kTexts, "CAPABILITY", "one capability less, or ALL"},
            {"privileged", 0, Flag::kSwitch, "", "all capabilities and devices, no seccomp"},
            {"security-opt", 0, Flag::kTexts, "OPTION",
             "no-new-privileges, seccomp=unconfined, seccomp=FILE"},
            {"device", 0, Flag::kTexts, "/dev/X[:/dev/Y][:rwm]", "device of the host"},
            {"ulimit", 0, Flag::kTexts, "NAME=SOFT[:HARD]", "resource limit, such as nofile=1024"},
            {"sysctl", 0, Flag::kTexts, "KEY=VALUE", "kernel setting of its namespaces"},
            {"shm-size", 0, Flag::kText, "SIZE", "size of /dev/shm (64m)"},
            {"log-opt", 0, Flag::kTexts, "KEY=VALUE", "max-size=10m, max-file=3"},
            {"pid", 0, Flag::kText, "host", "the host's process namespace"},
            {"ipc", 0, Flag::kText, "host", "the host's IPC namespace"},
            {"userns", 0, Flag::kText, "host|private",
             "the host's users, or an error where it cannot have its own"},
            {"uts", 0, Flag::kText, "host", "the host's name"},
            {"oom-score-adj", 0, Flag::kNumber, "NUMBER", "-1000 to 1000: how soon it is killed"},
            {"rm", 0, Flag::kSwitch, "", "delete the container when it exits"},
            {"cidfile", 0, Flag::kText, "FILE", "write the container's id there", "@file"},
            {"pull", 0, Flag::kText, "WHEN",
             "there is no registry yet: a missing image is an error", "missing|never"},
        });
    return flags;
  }();
  return *kFlags;
}

absl::StatusOr<Resources> ReadResources(const Arguments& arguments) {
  Resources resources;
  ASSIGN_OR_RETURN(int64_t memory, Size(arguments, "memory"));
  ASSIGN_OR_RETURN(int64_t swap, Size(arguments, "memory-swap"));
  ASSIGN_OR_RETURN(int64_t reservation, Size(arguments, "memory-reservation"));
  resources.set_memory_limit_bytes(memory);
  resources.set_memory_swap_limit_bytes(swap);
  resources.set_memory_reservation_bytes(reservation);
  if (swap != 0 && swap < memory) {
    return absl::InvalidArgumentError(
        "--memory-swap is memory and swap together: it cannot be less than --memory");
  }
  if (arguments.Has("cpus")) {
    double cpus;
    if (!absl::SimpleAtod(arguments.Text("cpus"), &cpus) || cpus < 0 || cpus > 1e6) {
      return Bad("--cpus", arguments.Text("cpus"), "write a number of cores, such as 0.5");
    }
    resources.set_nano_cpus(std::llround(cpus * 1e9));
  }
  resources.set_cpu_shares(arguments.Number("cpu-shares", 0));
  resources.set_cpuset_cpus(arguments.Text("cpuset-cpus"));
  const int64_t pids = arguments.Number("pids-limit", 0);
  resources.set_pids_limit(pids < 0 ? 0 : pids);
  return resources;
}

namespace {

absl::StatusOr<RestartPolicy> ParseRestartPolicy(absl::string_view text) {
  RestartPolicy policy;
  if (text.empty() || text == "no") {
    policy.set_kind(RestartPolicy::NO);
  } else if (text == "always") {
    policy.set_kind(RestartPolicy::ALWAYS);
  } else if (text == "unless-stopped") {
    policy.set_kind(RestartPolicy::UNLESS_STOPPED);
  } else {
    absl::string_view rest = text;
    int32_t retries = 0;
    const bool on_failure = absl::ConsumePrefix(&rest, "on-failure");
    const bool counted = absl::ConsumePrefix(&rest, ":");
    if (!on_failure ||
        (counted ? !absl::SimpleAtoi(rest, &retries) || retries < 0 : !rest.empty())) {
      return Bad("--restart", text, "write no, always, unless-stopped, on-failure or on-failure:3");
    }
    policy.set_kind(RestartPolicy::ON_FAILURE);
    policy.set_max_retries(retries);
  }
  return policy;
}

}  // namespace

bool AsksForRestarts(const Arguments& arguments) {
  return absl::c_any_of(kRestartFlags, [&](const char* flag) { return arguments.Has(flag); });
}

absl::StatusOr<RestartPolicy> ReadRestartPolicy(const Arguments& arguments) {
  ASSIGN_OR_RETURN(RestartPolicy policy, ParseRestartPolicy(arguments.Text("restart")));
  if (policy.kind() == RestartPolicy::NO) {
    for (const char* flag : kRestartFlags) {
      if (flag == kRestartFlags[0] || !arguments.Has(flag)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, " goes with a policy, such as --restart on-failure"));
    }
  }
  if (arguments.Has("restart-max-attempts")) {
    if (policy.max_retries() > 0) {
      return absl::InvalidArgumentError(
          "--restart-max-attempts and the number in --restart on-failure:TIMES are the same");
    }
    policy.set_max_retries(static_cast<int32_t>(arguments.Number("restart-max-attempts", 0)));
  }
  if (arguments.Has("restart-window")) {
    ASSIGN_OR_RETURN(absl::Duration window, DurationOf(arguments, "restart-window"));
    SetDuration(window, *policy.mutable_window());
  }
  if (arguments.Has("restart-delay")) {
    ASSIGN_OR_RETURN(absl::Duration delay, DurationOf(arguments, "restart-delay"));
    SetDuration(delay, *policy.mutable_delay());
  }
  return policy;
}

absl::StatusOr<ContainerSpec> ReadContainerSpec(const Arguments& arguments, Surroundings& around) {
  ContainerSpec spec;
  spec.set_name(arguments.Text("name"));
  spec.set_image(arguments.At(0));
  RETURN_IF_ERROR(ReadProcess(arguments, around, spec));
  ASSIGN_OR_RETURN(auto labels,
                   LabelsFrom(arguments.Texts("label-file"), arguments.Texts("label"), around));
  spec.mutable_labels()->insert(labels.begin(), labels.end());
  RETURN_IF_ERROR(ReadMounts(arguments, around, spec));
  for (const std::string& text : arguments.Texts("publish")) {
    ASSIGN_OR_RETURN(std::vector<PortMapping> ports, ParsePorts(text));
    for (PortMapping& port : ports) *spec.add_ports() = std::move(port);
  }
  RETURN_IF_ERROR(ReadNetworks(arguments, spec));
  if (spec.ports_size() > 0 && spec.network_mode() != NETWORK_MODE_BRIDGE) {
    return absl::InvalidArgumentError(
        "-p needs a network of Darse's: with --network none, host or container:… nothing can be "
        "published");
  }
  ASSIGN_OR_RETURN(*spec.mutable_resources(), ReadResources(arguments));
  ASSIGN_OR_RETURN(*spec.mutable_restart_policy(), ReadRestartPolicy(arguments));
  RETURN_IF_ERROR(ReadHealthcheck(arguments, spec));
  CopyTexts(arguments.Texts("cap-add"), *spec.mutable_cap_add());
  CopyTexts(arguments.Texts("cap-drop"), *spec.mutable_cap_drop());
  spec.set_privileged(arguments.On("privileged"));
  spec.set_read_only(arguments.On("read-only"));
  RETURN_IF_ERROR(ReadSecurity(arguments, around, spec));
  spec.set_init(arguments.On("init"));
  spec.set_auto_remove(arguments.On("rm"));
  if (spec.auto_remove() && spec.restart_policy().kind() != RestartPolicy::NO) {
    return absl::InvalidArgumentError("--rm and --restart exclude each other");
  }
  for (const std::string& host : arguments.Texts("add-host")) {
    const size_t separator = host.find_first_of(":=");
    if (separator == std::string::npos || separator == 0 || separator + 1 == host.size()) {
      return Bad("--add-host", host, "write NAME:ADDRESS");
    }
    spec.add_extra_hosts(absl::StrCat(host.substr(0, separator), ":", host.substr(separator + 1)));
  }
  CopyTexts(arguments.Texts("dns"), *spec.mutable_dns());
  CopyTexts(arguments.Texts("dns-search"), *spec.mutable_dns_search());
  RETURN_IF_ERROR(ReadLogOptions(arguments, spec));
  ASSIGN_OR_RETURN(auto sysctls, PairsFrom("--sysctl", arguments.Texts("sysctl")));
  spec.mutable_sysctls()->insert(sysctls.begin(), sysctls.end());
  RETURN_IF_ERROR(ReadUlimits(arguments, spec));
  ASSIGN_OR_RETURN(int64_t shm_size, Size(arguments, "shm-size"));
  spec.set_shm_size_bytes(shm_size);
  RETURN_IF_ERROR(ReadDevices(arguments, spec));
  RETURN_IF_ERROR(ReadNamespaces(arguments, spec));
  RETURN_IF_ERROR(ReadUserNamespace(arguments, spec));
  const int64_t score = arguments.Number("oom-score-adj", 0);
  if (score < -1000 || score > 1000) {
    return Bad("--oom-score-adj", absl::StrCat(score), "is not within -1000 and 1000");
  }
  spec.set_oom_score_adj(static_cast<int32_t>(score));
  return spec;
}

}  // namespace darse::client
