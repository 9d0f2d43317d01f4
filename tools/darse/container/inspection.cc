#include "tools/darse/container/inspection.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tools/darse/container/container_rows.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

// As docker writes a time that is not set.
std::string Moment(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "0001-01-01T00:00:00Z";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", ToTime(time), absl::UTCTimeZone());
}

Json Texts(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  Json array = Json::Array();
  for (const std::string& text : texts) array.Add(text);
  return array;
}

Json Pairs(const google::protobuf::Map<std::string, std::string>& pairs) {
  Json object = Json::Object();
  const std::map<std::string, std::string> sorted(pairs.begin(), pairs.end());
  for (const auto& [key, value] : sorted) object.Set(key, value);
  return object;
}

Json StateOf(const Container& container) {
  const ContainerState state = container.state();
  Json json = Json::Object({
      {"Status", StateWord(state)},
      {"Running", state == CONTAINER_STATE_RUNNING || state == CONTAINER_STATE_PAUSED ||
                      state == CONTAINER_STATE_RESTARTING},
      {"Paused", state == CONTAINER_STATE_PAUSED},
      {"Restarting", state == CONTAINER_STATE_RESTARTING},
      {"OOMKilled", container.oom_killed()},
      {"Dead", false},
      {"Pid", container.pid()},
      {"ExitCode", container.exit_code()},
      {"Error", container.error()},
      {"StartedAt", Moment(container.start_time())},
      {"FinishedAt", Moment(container.finish_time())},
  });
  if (const std::string health = HealthWord(container); !health.empty()) {
    json.Set("Health", Json::Object({{"Status", health},
                                     {"FailingStreak", container.health().failing_streak()},
                                     {"LastOutput", container.health().last_output()},
                                     {"LastProbe", Moment(container.health().last_probe_time())}}));
  }
  return json;
}

Json MountsOf(const ContainerSpec& spec) {
  Json mounts = Json::Array();
  for (const Mount& mount : spec.mounts()) {
    Json json = Json::Object();
    switch (mount.type()) {
      case MOUNT_TYPE_BIND:
        json = Json::Object({{"Type", "bind"}, {"Source", mount.source()}});
        break;
      case MOUNT_TYPE_TMPFS:
        json = Json::Object({{"Type", "tmpfs"}, {"Source", ""}});
        break;
      default:
        json = Json::Object({{"Type", "volume"}, {"Name", mount.source()}});
    }
    json.Set("Destination", mount.target());
    json.Set("RW", !mount.read_only());
    json.Set("Propagation", mount.propagation());
    mounts.Add(json);
  }
  return mounts;
}

// {"80/tcp": [{"HostIp": …, "HostPort": …}]}
Json PortsOf(const google::protobuf::RepeatedPtrField<PortMapping>& ports) {
  Json json = Json::Object();
  for (const PortMapping& port : ports) {
    const std::string key = absl::StrCat(port.container_port(), "/", port.protocol());
    Json list = json.Find(key) != nullptr ? *json.Find(key) : Json::Array();
    list.Add(Json::Object({{"HostIp", port.host_ip().empty() ? "0.0.0.0" : port.host_ip()},
                           {"HostPort", absl::StrCat(port.host_port())}}));
    json.Set(key, list);
  }
  return json;
}

Json NetworkSettingsOf(const Container& container) {
  Json networks = Json::Object();
  for (const NetworkEndpoint& endpoint : container.endpoints()) {
    networks.Set(endpoint.network_name(),
                 Json::Object({{"NetworkID", endpoint.network_id()},
                               {"IPAddress", endpoint.ipv4_address()},
                               {"IPPrefixLen", int64_t{endpoint.ipv4_prefix_length()}},
                               {"Gateway", endpoint.gateway()},
                               {"MacAddress", endpoint.mac_address()},
                               {"HostInterface", endpoint.host_interface()},
                               {"Aliases", Texts(endpoint.aliases())}}));
  }
  const std::string address =
      container.endpoints_size() > 0 ? container.endpoints(0).ipv4_address() : "";
  return Json::Object(
      {{"IPAddress", address},
       {"Gateway", container.endpoints_size() > 0 ? container.endpoints(0).gateway() : ""},
       {"Ports", PortsOf(container.ports())},
       {"Networks", networks}});
}

Json RestartPolicyOf(const RestartPolicy& policy) {
  const char* name = "no";
  if (policy.kind() == RestartPolicy::ALWAYS) name = "always";
  if (policy.kind() == RestartPolicy::ON_FAILURE) name = "on-failure";
  if (policy.kind() == RestartPolicy::UNLESS_STOPPED) name = "unless-stopped";
  // Nanoseconds, as Docker's of a healthcheck.
  auto nanos = [](const google::protobuf::Duration& time) {
    return time.seconds() * 1'000'000'000 + time.nanos();
  };
  Json shown = Json::Object({{"Name", name}, {"MaximumRetryCount", policy.max_retries()}});
  if (policy.has_window()) shown.Set("Window", nanos(policy.window()));
  if (policy.has_delay()) shown.Set("Delay", nanos(policy.delay()));
  return shown;
}

std::string NetworkModeOf(const ContainerSpec& spec) {
  switch (spec.network_mode()) {
    case NETWORK_MODE_HOST:
      return "host";
    case NETWORK_MODE_NONE:
      return "none";
    case NETWORK_MODE_CONTAINER:
      return absl::StrCat("container:", spec.network_container());
    default:
      return spec.networks_size() > 0 ? spec.networks(0).network() : "default";
  }
}

Json HostConfigOf(const ContainerSpec& spec) {
  const Resources& limits = spec.resources();
  Json ulimits = Json::Array();
  for (const Ulimit& limit : spec.ulimits()) {
    ulimits.Add(
        Json::Object({{"Name", limit.name()}, {"Soft", limit.soft()}, {"Hard", limit.hard()}}));
  }
  Json security = Json::Array();
  if (spec.no_new_privileges()) security.Add("no-new-privileges");
  if (!spec.seccomp_profile().empty())
    security.Add(absl::StrCat("seccomp=", spec.seccomp_profile()));
  return Json::Object({
      {"NetworkMode", NetworkModeOf(spec)},
      {"PortBindings", PortsOf(spec.ports())},
      {"RestartPolicy", RestartPolicyOf(spec.restart_policy())},
      {"AutoRemove", spec.auto_remove()},
      {"CapAdd", Texts(spec.cap_add())},
      {"CapDrop", Texts(spec.cap_drop())},
      {"Dns", Texts(spec.dns())},
      {"ExtraHosts", Texts(spec.extra_hosts())},
      {"IpcMode", spec.ipc_mode().empty() ? "private" : spec.ipc_mode()},
      {"PidMode", spec.pid_mode()},
      {"UTSMode", spec.uts_mode()},
      {"UsernsMode", spec.userns_mode()},
      {"OomScoreAdj", spec.oom_score_adj()},
      {"Privileged", spec.privileged()},
      {"ReadonlyRootfs", spec.read_only()},
      {"SecurityOpt", security},
      {"Init", spec.init()},
      {"ShmSize", spec.shm_size_bytes()},
      {"Memory", limits.memory_limit_bytes()},
      {"MemorySwap", limits.memory_swap_limit_bytes()},
      {"MemoryReservation", limits.memory_reservation_bytes()},
      {"NanoCpus", limits.nano_cpus()},
      {"CpuShares", limits.cpu_shares()},
      {"CpusetCpus", limits.cpuset_cpus()},
      {"PidsLimit", limits.pids_limit()},
      {"Ulimits", ulimits},
      {"Sysctls", Pairs(spec.sysctls())},
      {"LogConfig",
       Json::Object({{"Type", "darse"},
                     {"Config", Json::Object({{"max-size", spec.log().max_size_bytes()},
                                              {"max-file", spec.log().max_files()}})}})},
  });
}

// {"FirstId": 1073741824, "Size": 65536}, {"Host": "it is privileged"}, or {} before a start.
Json UserNamespaceOf(const Container& container) {
  if (container.first_user_id() != 0) {
    return Json::Object(
        {{"FirstId", int64_t{container.first_user_id()}}, {"Size", int64_t{65536}}});
  }
  if (container.user_namespace_obstacle().empty()) return Json::Object({});
  return Json::Object({{"Host", container.user_namespace_obstacle()}});
}

// What really runs is in the OCI config of the newest start; before one, what was asked for.
Json ConfigOf(const Container& container, const Json& oci) {
  const ContainerSpec& spec = container.spec();
  const Json* process = oci.Find("process");
  Json env = Texts(spec.env());
  std::string directory = spec.working_dir();
  if (process != nullptr) {
    env = Json::Array(process->TextsOf("env"));
    directory = process->TextOf("cwd");
  }
  Json config = Json::Object({
      {"Hostname", spec.hostname().empty() ? container.id().substr(0, 12) : spec.hostname()},
      {"User", spec.user()},
      {"Tty", spec.tty()},
      {"OpenStdin", spec.stdin_open()},
      {"Env", env},
      {"Cmd", spec.has_command() ? Texts(spec.command().args()) : Json()},
      {"Entrypoint", spec.has_entrypoint() ? Texts(spec.entrypoint().args()) : Json()},
      {"Image", spec.image()},
      {"WorkingDir", directory},
      {"Labels", Pairs(spec.labels())},
      {"StopSignal", spec.stop_signal().empty() ? "SIGTERM" : spec.stop_signal()},
  });
  if (spec.has_stop_timeout()) config.Set("StopTimeout", spec.stop_timeout().seconds());
  if (spec.has_healthcheck()) {
    const Healthcheck& check = spec.healthcheck();
    auto nanos = [](const google::protobuf::Duration& duration) {
      return absl::ToInt64Nanoseconds(ToDuration(duration));
    };
    config.Set("Healthcheck", Json::Object({{"Test", Texts(check.test())},
                                            {"Interval", nanos(check.interval())},
                                            {"Timeout", nanos(check.timeout())},
                                            {"StartPeriod", nanos(check.start_period())},
                                            {"StartInterval", nanos(check.start_interval())},
                                            {"Retries", check.retries()}}));
  }
  return config;
}

}  // namespace

Json InspectContainer(const Container& container, absl::string_view oci_config_json) {
  Json oci = Json::Object();
  if (absl::StatusOr<Json> parsed = Json::Parse(oci_config_json); parsed.ok()) oci = *parsed;
  std::vector<std::string> args;
  if (const Json* process = oci.Find("process")) args = process->TextsOf("args");
  const std::string path = args.empty() ? "" : args[0];
  if (!args.empty()) args.erase(args.begin());
  return Json::Object({
      {"Id", container.id()},
      {"Created", Moment(container.create_time())},
      {"Path", path},
      {"Args", Json::Array(args)},
      {"State", StateOf(container)},
      {"Image", container.image_id()},
      // Docker writes the slash; scripts cut it off.
      {"Name", absl::StrCat("/", container.name())},
      {"RestartCount", container.restart_count()},
      {"Revision", container.revision()},
      {"CgroupPath", container.cgroup_path()},
      {"UserNamespace", UserNamespaceOf(container)},
      {"Mounts", MountsOf(container.spec())},
      {"Config", ConfigOf(container, oci)},
      {"HostConfig", HostConfigOf(container.spec())},
      {"NetworkSettings", NetworkSettingsOf(container)},
  });
}

}  // namespace darse::client
