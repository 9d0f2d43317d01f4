#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "rapidjson/prettywriter.h"
#include "rapidjson/stringbuffer.h"
#include "tools/oci/bundle_state.h"
#include "tools/oci/flags.h"
#include "tools/oci/verbs.h"

namespace darse::ocitool {
namespace {

using Json = rapidjson::PrettyWriter<rapidjson::StringBuffer>;
using cgroup::CgroupDriver;

void Text(Json& json, const char* key, const std::string& value) {
  json.Key(key);
  json.String(value);
}
void Number(Json& json, const char* key, uint64_t value) {
  json.Key(key);
  json.Uint64(value);
}
void Print(const rapidjson::StringBuffer& buffer) { printf("%s\n", buffer.GetString()); }

struct Found {
  StateDirectory states;
  std::unique_ptr<CgroupDriver> cgroups;
  BundleState state;
};

absl::StatusOr<Found> Find(const Globals& globals, const Flags& flags) {
  if (flags.positional.empty()) return absl::InvalidArgumentError("takes a container id");
  Found found = {.states = StateDirectory(globals.root)};
  ASSIGN_OR_RETURN(found.state, found.states.Read(flags.positional[0]));
  ASSIGN_OR_RETURN(found.cgroups, OpenCgroups(globals, found.state));
  return found;
}

void WriteState(Json& json, const Found& found) {
  std::string status = found.states.Status(found.state, found.cgroups.get());
  absl::StatusOr<container::Spec> spec = found.states.ReadSpec(found.state.id);
  json.StartObject();
  Text(json, "ociVersion", spec.ok() ? spec->oci_version : "1.0.2");
  Text(json, "id", found.state.id);
  Number(json, "pid", status == "stopped" ? 0 : static_cast<uint64_t>(found.state.pid));
  Text(json, "status", status);
  Text(json, "bundle", found.state.bundle);
  std::string root = spec.ok() ? spec->root_path : "";
  if (!root.empty() && root[0] != '/') root = absl::StrCat(found.state.bundle, "/", root);
  Text(json, "rootfs", root);
  Text(json, "created", found.state.created);
  if (spec.ok() && !spec->annotations.empty()) {
    json.Key("annotations");
    json.StartObject();
    for (const auto& [key, value] : spec->annotations) Text(json, key.c_str(), value);
    json.EndObject();
  }
  Text(json, "owner", "");
  json.EndObject();
}

void WriteStats(Json& json, const cgroup::Stats& stats) {
  json.StartObject();
  json.Key("cpu");
  json.StartObject();
  json.Key("usage");
  json.StartObject();
  Number(json, "total", stats.cpu_usage_ns);
  json.Key("percpu");
  json.StartArray();
  for (uint64_t ns : stats.cpu_per_core_ns) json.Uint64(ns);
  json.EndArray();
  Number(json, "kernel", stats.cpu_system_ns);
  Number(json, "user", stats.cpu_user_ns);
  json.EndObject();
  json.Key("throttling");
  json.StartObject();
  Number(json, "periods", stats.cpu_periods);
  Number(json, "throttledPeriods", stats.cpu_throttled_periods);
  Number(json, "throttledTime", stats.cpu_throttled_ns);
  json.EndObject();
  json.EndObject();
  json.Key("memory");
  json.StartObject();
  json.Key("usage");
  json.StartObject();
  Number(json, "limit", stats.memory_limit_bytes);
  Number(json, "usage", stats.memory_usage_bytes);
  Number(json, "max", stats.memory_peak_bytes);
  Number(json, "failcnt", stats.memory_failures);
  json.EndObject();
  json.Key("raw");
  json.StartObject();
  for (const auto& [key, value] : stats.memory) Number(json, key.c_str(), value);
  json.EndObject();
  json.EndObject();
  json.Key("pids");
  json.StartObject();
  Number(json, "current", stats.pids);
  Number(json, "limit", stats.pids_limit);
  json.EndObject();
  json.EndObject();
}

}  // namespace

absl::StatusOr<int> ShowState(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {}, {}));
  ASSIGN_OR_RETURN(Found found, Find(globals, flags));
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  WriteState(json, found);
  Print(buffer);
  return 0;
}

absl::StatusOr<int> List(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {"f=format"}, {"q=quiet"}));
  std::string format = flags.Value("format", "table");
  if (format != "table" && format != "json")
    return absl::InvalidArgumentError("--format: table or json");
  StateDirectory states(globals.root);
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartArray();
  if (format == "table" && !flags.Has("quiet")) {
    printf("%-30s %-10s %-10s %-40s %-30s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED",
           "OWNER");
  }
  for (const std::string& id : states.List()) {
    absl::StatusOr<BundleState> state = states.Read(id);
    if (!state.ok()) continue;  // deleted meanwhile
    if (flags.Has("quiet")) {
      printf("%s\n", id.c_str());
      continue;
    }
    Found found = {.states = states, .state = *state};
    ASSIGN_OR_RETURN(found.cgroups, OpenCgroups(globals, found.state));
    if (format == "json") {
      WriteState(json, found);
      continue;
    }
    std::string status = states.Status(*state, found.cgroups.get());
    printf("%-30s %-10lld %-10s %-40s %-30s %s\n", id.c_str(),
           status == "stopped" ? 0LL : static_cast<long long>(state->pid), status.c_str(),
           state->bundle.c_str(), state->created.c_str(), "root");
  }
  json.EndArray();
  if (format == "json" && !flags.Has("quiet")) Print(buffer);
  return 0;
}

absl::StatusOr<int> Ps(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {"f=format"}, {}));
  ASSIGN_OR_RETURN(Found found, Find(globals, flags));
  ASSIGN_OR_RETURN(std::vector<pid_t> pids, found.cgroups->Processes(found.state.cgroup_path));
  if (flags.Value("format", "table") == "json") {
    std::string list;
    for (pid_t pid : pids) absl::StrAppend(&list, list.empty() ? "" : ",", pid);
    printf("[%s]\n", list.c_str());
    return 0;
  }
  printf("%-10s %s\n", "PID", "CMD");
  for (pid_t pid : pids) {
    std::string command = ReadFile(absl::StrCat("/proc/", pid, "/cmdline")).value_or("");
    for (char& c : command) c = c == '\0' ? ' ' : c;
    printf("%-10d %s\n", pid, command.c_str());
  }
  return 0;
}

absl::StatusOr<int> Pause(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {}, {}));
  ASSIGN_OR_RETURN(Found found, Find(globals, flags));
  std::string status = found.states.Status(found.state, found.cgroups.get());
  if (status != "running" && status != "created") {
    return absl::FailedPreconditionError(absl::StrCat("pause: the container is ", status));
  }
  RETURN_IF_ERROR(found.cgroups->Freeze(found.state.cgroup_path));
  return 0;
}

absl::StatusOr<int> Resume(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {}, {}));
  ASSIGN_OR_RETURN(Found found, Find(globals, flags));
  std::string status = found.states.Status(found.state, found.cgroups.get());
  if (status != "paused") {
    return absl::FailedPreconditionError(absl::StrCat("resume: the container is ", status));
  }
  RETURN_IF_ERROR(found.cgroups->Thaw(found.state.cgroup_path));
  return 0;
}

absl::StatusOr<int> Update(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags,
                   ParseFlags(args,
                              {"r=resources", "blkio-weight", "cpu-period", "cpu-quota",
                               "cpu-burst", "cpu-share", "cpu-idle", "cpuset-cpus", "cpuset-mems",
                               "memory", "memory-reservation", "memory-swap", "pids-limit"},
                              {}));
  ASSIGN_OR_RETURN(Found found, Find(globals, flags));
  cgroup::Limits limits;
  if (std::string path = flags.Value("resources"); !path.empty()) {
    std::string json;
    if (path == "-") {
      char buffer[4096];
      for (ssize_t got; (got = read(0, buffer, sizeof(buffer))) > 0;)
        json.append(buffer, size_t(got));
    } else {
      ASSIGN_OR_RETURN(json, ReadFile(path));
    }
    ASSIGN_OR_RETURN(limits, container::ParseResources(json));
  }
  absl::Status bad;
  auto number = [&](const char* flag, auto& into) {
    std::string value = flags.Value(flag);
    if (value.empty()) return;
    int64_t parsed = 0;
    if (!absl::SimpleAtoi(value, &parsed)) {
      bad = absl::InvalidArgumentError(absl::StrCat("--", flag, " ", value, ": not a number"));
    }
    into = parsed;
  };
  number("cpu-period", limits.cpu_period_us);
  number("cpu-quota", limits.cpu_quota_us);
  number("cpu-burst", limits.cpu_burst_us);
  number("cpu-share", limits.cpu_shares);
  number("cpu-idle", limits.cpu_idle);
  number("memory", limits.memory_bytes);
  number("memory-reservation", limits.memory_reservation_bytes);
  number("memory-swap", limits.memory_and_swap_bytes);
  number("pids-limit", limits.pids_max);
  std::optional<int64_t> weight;
  number("blkio-weight", weight);
  if (weight.has_value()) limits.block_weight = static_cast<uint16_t>(*weight);
  RETURN_IF_ERROR(bad);
  limits.cpuset_cpus = flags.Value("cpuset-cpus", limits.cpuset_cpus);
  limits.cpuset_mems = flags.Value("cpuset-mems", limits.cpuset_mems);
  RETURN_IF_ERROR(cgroup::ApplyAll(*found.cgroups, found.state.cgroup_path, limits));
  return 0;
}

absl::StatusOr<int> Events(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {"interval"}, {"stats"}));
  ASSIGN_OR_RETURN(Found found, Find(globals, flags));
  std::string interval = flags.Value("interval", "5s");
  int seconds = 0;
  if (!absl::SimpleAtoi(interval.substr(0, interval.find('s')), &seconds) || seconds < 1) {
    return absl::InvalidArgumentError("--interval: whole seconds, as 5s");
  }
  do {
    ASSIGN_OR_RETURN(cgroup::Stats stats, found.cgroups->ReadStats(found.state.cgroup_path));
    rapidjson::StringBuffer buffer;
    Json json(buffer);
    json.SetIndent(' ', 0);
    json.StartObject();
    Text(json, "type", "stats");
    Text(json, "id", found.state.id);
    json.Key("data");
    WriteStats(json, stats);
    json.EndObject();
    std::string line = buffer.GetString();
    for (char& c : line) c = c == '\n' ? ' ' : c;
    printf("%s\n", line.c_str());
    fflush(stdout);
    if (flags.Has("stats")) return 0;
    timespec pause = {.tv_sec = seconds, .tv_nsec = 0};
    nanosleep(&pause, nullptr);
  } while (found.states.Status(found.state, nullptr) != "stopped");
  return 0;
}

}  // namespace darse::ocitool
