#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "libs/base/number_list.h"
#include "libs/base/status_macros.h"
#include "libs/container/config/json_fields.h"
#include "libs/container/config/resources_parse.h"
#include "libs/container/config/spec.h"
#include "libs/linux/namespace/namespace.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::container {
namespace {

// glibc's sched.h has no SCHED_FLAG_ values.
constexpr std::pair<const char*, uint64_t> kSchedulerFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", 0x01},  {"SCHED_FLAG_RECLAIM", 0x02},
    {"SCHED_FLAG_DL_OVERRUN", 0x04},     {"SCHED_FLAG_KEEP_POLICY", 0x08},
    {"SCHED_FLAG_KEEP_PARAMS", 0x10},    {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40},
};
constexpr std::pair<const char*, uint32_t> kSchedulerPolicies[] = {
    {"SCHED_OTHER", 0}, {"SCHED_FIFO", 1}, {"SCHED_RR", 2},       {"SCHED_BATCH", 3},
    {"SCHED_ISO", 4},   {"SCHED_IDLE", 5}, {"SCHED_DEADLINE", 6},
};
constexpr std::pair<const char*, int> kRlimits[] = {
    {"AS", RLIMIT_AS},           {"CORE", RLIMIT_CORE},         {"CPU", RLIMIT_CPU},
    {"DATA", RLIMIT_DATA},       {"FSIZE", RLIMIT_FSIZE},       {"LOCKS", RLIMIT_LOCKS},
    {"MEMLOCK", RLIMIT_MEMLOCK}, {"MSGQUEUE", RLIMIT_MSGQUEUE}, {"NICE", RLIMIT_NICE},
    {"NOFILE", RLIMIT_NOFILE},   {"NPROC", RLIMIT_NPROC},       {"RSS", RLIMIT_RSS},
    {"RTPRIO", RLIMIT_RTPRIO},   {"RTTIME", RLIMIT_RTTIME},     {"SIGPENDING", RLIMIT_SIGPENDING},
    {"STACK", RLIMIT_STACK},
};

template <typename T, size_t n>
std::optional<T> Lookup(const std::pair<const char*, T> (&table)[n], absl::string_view name) {
  for (const auto& [key, value] : table) {
    if (name == key) return value;
  }
  return std::nullopt;
}

Rlimit ReadRlimit(const JsonFields& fields) {
  Rlimit limit;
  fields.Text("type", limit.name);
  fields.Number("soft", limit.soft);
  fields.Number("hard", limit.hard);
  absl::string_view name = limit.name;
  std::optional<int> resource;
  if (absl::ConsumePrefix(&name, "RLIMIT_")) resource = Lookup(kRlimits, name);
  if (!resource.has_value())
    fields.Fail("type", absl::StrCat("no resource limit \"", limit.name, "\""));
  limit.resource = resource.value_or(0);
  if (limit.soft > limit.hard) fields.Fail("soft", "above the hard limit");
  return limit;
}

capability::Set ReadCapabilitySet(const JsonFields& fields, const char* key) {
  capability::Set set = 0;
  for (const std::string& name : fields.Strings(key)) {
    set |= capability::Bit(fields.Check(key, capability::Parse(name)));
  }
  return set;
}

Scheduler ReadScheduler(const JsonFields& fields) {
  Scheduler scheduler;
  std::optional<uint32_t> policy = Lookup(kSchedulerPolicies, fields.Text("policy"));
  if (!policy.has_value()) fields.Fail("policy", "no scheduling policy of Linux");
  scheduler.policy = policy.value_or(0);
  fields.Number("nice", scheduler.nice);
  fields.Number("priority", scheduler.priority);
  fields.Number("runtime", scheduler.runtime);
  fields.Number("deadline", scheduler.deadline);
  fields.Number("period", scheduler.period);
  for (const std::string& name : fields.Strings("flags")) {
    std::optional<uint64_t> flag = Lookup(kSchedulerFlags, name);
    if (!flag.has_value()) fields.Fail("flags", absl::StrCat("no scheduler flag \"", name, "\""));
    scheduler.flags |= flag.value_or(0);
  }
  return scheduler;
}

// <linux/ioprio.h> is no C++ in every release of the kernel's headers.
constexpr std::pair<const char*, int> kIoClasses[] = {
    {"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};
constexpr int kIoClassShift = 13;

int ReadIoPriority(const JsonFields& fields) {
  std::optional<int> io_class = Lookup(kIoClasses, fields.Text("class"));
  if (!io_class.has_value()) fields.Fail("class", "no I/O class of Linux");
  int level = fields.NumberOr("priority", 0);
  if (level < 0 || level > 7) fields.Fail("priority", "not between 0 and 7");
  return io_class.value_or(0) << kIoClassShift | level;
}

std::vector<uint32_t> ReadNumberList(const JsonFields& fields, const char* key) {
  std::string text = fields.Text(key);
  if (text.empty()) return {};
  return fields.Check(key, ParseNumberList(text));
}

Process ReadProcess(const JsonFields& fields) {
  Process process;
  fields.Bool("terminal", process.terminal);
  JsonFields console = fields.Object("consoleSize");
  console.Number("height", process.rows);
  console.Number("width", process.columns);
  JsonFields user = fields.Object("user");
  user.Number("uid", process.user.uid);
  user.Number("gid", process.user.gid);
  user.Number("umask", process.user.umask);
  user.Numbers("additionalGids", process.user.additional_gids);
  user.Text("username", process.user.username);
  user.Strings("additionalGroups", process.user.additional_groups);
  fields.Strings("args", process.args);
  fields.Strings("env", process.env);
  fields.Text("cwd", process.cwd);
  if (process.args.empty()) fields.Fail("args", "empty: there is nothing to run");
  if (!absl::StartsWith(process.cwd, "/")) fields.Fail("cwd", "not an absolute path");
  if (JsonFields sets = fields.Object("capabilities"); sets.present()) {
    process.capabilities = capability::Sets{
        .bounding = ReadCapabilitySet(sets, "bounding"),
        .effective = ReadCapabilitySet(sets, "effective"),
        .permitted = ReadCapabilitySet(sets, "permitted"),
        .inheritable = ReadCapabilitySet(sets, "inheritable"),
        .ambient = ReadCapabilitySet(sets, "ambient"),
    };
  }
  fields.Objects("rlimits", [&](const JsonFields& limit) {
    process.rlimits.push_back(ReadRlimit(limit));
    for (size_t i = 0; i + 1 < process.rlimits.size(); ++i) {
      if (process.rlimits[i].resource == process.rlimits.back().resource) {
        limit.Fail("type", "given twice");
      }
    }
  });
  fields.Bool("noNewPrivileges", process.no_new_privileges);
  fields.Number("oomScoreAdj", process.oom_score_adj);
  if (JsonFields scheduler = fields.Object("scheduler"); scheduler.present()) {
    process.scheduler = ReadScheduler(scheduler);
  }
  if (JsonFields io = fields.Object("ioPriority"); io.present())
    process.io_priority = ReadIoPriority(io);
  fields.Text("apparmorProfile", process.apparmor_profile);
  fields.Text("selinuxLabel", process.selinux_label);
  JsonFields affinity = fields.Object("execCPUAffinity");
  process.cpus_initial = ReadNumberList(affinity, "initial");
  process.cpus_final = ReadNumberList(affinity, "final");
  return process;
}

std::vector<ns::IdMapping> ReadMappings(const JsonFields& fields, const char* key) {
  std::vector<ns::IdMapping> mappings;
  fields.Objects(key, [&](const JsonFields& entry) {
    ns::IdMapping mapping;
    entry.Number("containerID", mapping.container_id);
    entry.Number("hostID", mapping.host_id);
    entry.Number("size", mapping.size);
    mappings.push_back(mapping);
  });
  return mappings;
}

ns::IdMaps ReadIdMaps(const JsonFields& fields) {
  ns::IdMaps maps = {.uids = ReadMappings(fields, "uidMappings"),
                     .gids = ReadMappings(fields, "gidMappings")};
  if (maps.empty()) return maps;
  for (const auto& [key, side] :
       {std::pair("uidMappings", &maps.uids), std::pair("gidMappings", &maps.gids)}) {
    if (absl::Status checked = ns::CheckMappings(*side); !checked.ok()) {
      fields.Fail(key, checked.message());
    }
  }
  return maps;
}

MountEntry ReadMount(const JsonFields& fields) {
  MountEntry mount;
  fields.Text("destination", mount.destination);
  fields.Text("type", mount.type);
  fields.Text("source", mount.source);
  mount.options = fields.Check("options", mnt::ParseOptions(fields.Strings("options")));
  if (!absl::StartsWith(mount.destination, "/")) fields.Fail("destination", "not an absolute path");
  if (mount.type == "bind" || mount.type == "none") mount.options.bind |= mount.type == "bind";
  if (mount.options.bind && mount.source.empty()) fields.Fail("source", "missing");
  if (!mount.options.bind && mount.type.empty()) fields.Fail("type", "missing");
  mount.id_maps = ReadIdMaps(fields);
  if (!mount.id_maps.empty()) mount.options.id_map = true;
  if (mount.options.id_map && !mount.options.bind) {
    fields.Fail("options", "idmap: only what is bound can be id-mapped");
  }
  if (mount.options.copy_up && mount.type != "tmpfs") {
    fields.Fail("options", "tmpcopyup: only for a tmpfs");
  }
  return mount;
}

std::vector<Hook> ReadHooks(const JsonFields& hooks, const char* key) {
  std::vector<Hook> list;
  hooks.Objects(key, [&](const JsonFields& fields) {
    Hook hook;
    fields.Text("path", hook.path);
    fields.Strings("args", hook.args);
    fields.Strings("env", hook.env);
    fields.Number("timeout", hook.timeout_s);
    if (!absl::StartsWith(hook.path, "/")) fields.Fail("path", "not an absolute path");
    if (fields.Has("timeout") && hook.timeout_s <= 0) fields.Fail("timeout", "not above zero");
    list.push_back(std::move(hook));
  });
  return list;
}

DeviceNode ReadDevice(const JsonFields& fields) {
  DeviceNode device;
  std::string type = fields.Text("type");
  if (type == "u") type = "c";
  if (type != "c" && type != "b" && type != "p") fields.Fail("type", "not c, b, u or p");
  device.type = type.empty() ? 'c' : type[0];
  fields.Text("path", device.path);
  if (!absl::StartsWith(device.path, "/")) fields.Fail("path", "not an absolute path");
  fields.Number("major", device.major);
  fields.Number("minor", device.minor);
  fields.Number("fileMode", device.mode);
  device.mode &= 07777;
  fields.Number("uid", device.uid);
  fields.Number("gid", device.gid);
  return device;
}

seccomp::Profile ReadSeccomp(const JsonFields& linux_fields) {
  const rapidjson::Value* value = linux_fields.Find("seccomp");
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value->Accept(writer);
  // OCI's form is Docker's without conditions, so no capabilities matter.
  return linux_fields.Check(
      "seccomp",
      seccomp::ParseDockerProfile(absl::string_view(buffer.GetString(), buffer.GetSize()), 0));
}

std::vector<TimeOffset> ReadTimeOffsets(const JsonFields& fields) {
  std::vector<TimeOffset> offsets;
  for (const std::string& clock : fields.Keys()) {
    if (clock != "monotonic" && clock != "boottime") {
      fields.Fail(clock, "not a clock of time namespaces (monotonic, boottime)");
    }
    JsonFields offset = fields.Object(clock.c_str());
    offsets.push_back({.clock = clock,
                       .seconds = offset.NumberOr<int64_t>("secs", 0),
                       .nanoseconds = offset.NumberOr<uint32_t>("nanosecs", 0)});
    if (offsets.back().nanoseconds >= 1'000'000'000) offset.Fail("nanosecs", "a second or more");
  }
  return offsets;
}

resctrl::Settings ReadIntelRdt(const JsonFields& fields) {
  resctrl::Settings settings;
  fields.Text("closID", settings.clos_id);
  if (absl::Status checked = resctrl::CheckClosId(settings.clos_id); !checked.ok()) {
    fields.Fail("closID", checked.message());
  }
  for (const char* key : {"l3CacheSchema", "memBwSchema"}) {
    if (std::string line = fields.Text(key); !line.empty()) settings.schemata.push_back(line);
  }
  fields.Strings("schemata", settings.schemata);
  fields.Bool("enableMonitoring", settings.monitoring);
  // What came before enableMonitoring.
  for (const char* key : {"enableCMT", "enableMBM"}) {
    bool enabled = false;
    fields.Bool(key, enabled);
    settings.monitoring |= enabled;
  }
  return settings;
}

bool IsInterfaceName(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  return name.find_first_of("/: \t\n") == std::string::npos;
}

std::vector<NetDevice> ReadNetDevices(const JsonFields& fields) {
  std::vector<NetDevice> devices;
  for (const std::string& name : fields.Keys()) {
    JsonFields entry = fields.Object(name.c_str());
    NetDevice device = {.name = name, .new_name = entry.Text("name")};
    if (device.new_name.empty()) device.new_name = name;
    if (!IsInterfaceName(name)) fields.Fail(name, "no name of an interface");
    if (!IsInterfaceName(device.new_name)) entry.Fail("name", "no name of an interface");
    for (const NetDevice& other : devices) {
      if (other.new_name == device.new_name) entry.Fail("name", "given twice");
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

// <linux/mempolicy.h>'s numbers.
constexpr std::pair<const char*, int> kMemoryModes[] = {{"MPOL_DEFAULT", 0},
                                                        {"MPOL_PREFERRED", 1},
                                                        {"MPOL_BIND", 2},
                                                        {"MPOL_INTERLEAVE", 3},
                                                        {"MPOL_LOCAL", 4},
                                                        {"MPOL_PREFERRED_MANY", 5},
                                                        {"MPOL_WEIGHTED_INTERLEAVE", 6}};
constexpr std::pair<const char*, int> kMemoryFlags[] = {{"MPOL_F_NUMA_BALANCING", 1 << 13},
                                                        {"MPOL_F_RELATIVE_NODES", 1 << 14},
                                                        {"MPOL_F_STATIC_NODES", 1 << 15}};

MemoryPolicy ReadMemoryPolicy(const JsonFields& fields) {
  MemoryPolicy policy;
  std::optional<int> mode = Lookup(kMemoryModes, fields.Text("mode"));
  if (!mode.has_value()) fields.Fail("mode", "no memory policy of Linux");
  policy.mode = mode.value_or(0);
  policy.nodes = ReadNumberList(fields, "nodes");
  for (const std::string& name : fields.Strings("flags")) {
    std::optional<int> flag = Lookup(kMemoryFlags, name);
    if (!flag.has_value()) fields.Fail("flags", absl::StrCat("no flag \"", name, "\""));
    policy.mode |= flag.value_or(0);
  }
  return policy;
}

void ReadLinux(const JsonFields& fields, Spec& spec) {
  fields.Objects("namespaces", [&](const JsonFields& entry) {
    NamespaceEntry ns;
    ns.flag = entry.Check("type", ns::Flag(entry.Text("type")));
    entry.Text("path", ns.path);
    if (!ns.path.empty() && ns.path[0] != '/') entry.Fail("path", "not an absolute path");
    if (spec.FindNamespace(ns.flag) != nullptr) entry.Fail("type", "given twice");
    spec.namespaces.push_back(std::move(ns));
  });
  spec.id_maps = ReadIdMaps(fields);
  spec.time_offsets = ReadTimeOffsets(fields.Object("timeOffsets"));
  if (JsonFields policy = fields.Object("memoryPolicy"); policy.present()) {
    spec.memory_policy = ReadMemoryPolicy(policy);
  }
  fields.Objects("devices",
                 [&](const JsonFields& device) { spec.devices.push_back(ReadDevice(device)); });
  fields.Text("cgroupsPath", spec.cgroups_path);
  spec.limits = ReadResources(fields.Object("resources"));
  fields.StringMap("sysctl", spec.sysctl);
  if (fields.Has("seccomp")) spec.seccomp = ReadSeccomp(fields);
  if (std::string name = fields.Text("rootfsPropagation"); !name.empty()) {
    std::pair<uint64_t, bool> parsed =
        fields.Check("rootfsPropagation", mnt::ParsePropagation(name));
    spec.root_propagation =
        mnt::Options{.propagation = parsed.first, .propagation_recursive = parsed.second};
  }
  fields.Strings("maskedPaths", spec.masked_paths);
  fields.Strings("readonlyPaths", spec.readonly_paths);
  fields.Text("mountLabel", spec.mount_label);
  if (JsonFields persona = fields.Object("personality"); persona.present()) {
    std::string domain = persona.Text("domain");
    if (!persona.Strings("flags").empty()) persona.Fail("flags", "OCI defines none");
    if (domain == "LINUX") {
      spec.personality = PER_LINUX;
    } else if (domain == "LINUX32") {
      spec.personality = PER_LINUX32;
    } else {
      persona.Fail("domain", "not LINUX or LINUX32");
    }
  }
  if (JsonFields rdt = fields.Object("intelRdt"); rdt.present()) spec.intel_rdt = ReadIntelRdt(rdt);
  spec.net_devices = ReadNetDevices(fields.Object("netDevices"));
}

void CheckIdMaps(const JsonFields& fields, const Spec& spec) {
  const NamespaceEntry* user = spec.FindNamespace(CLONE_NEWUSER);
  if (user == nullptr) {
    if (!spec.id_maps.empty()) fields.Fail("linux.uidMappings", "needs a user namespace");
    for (size_t i = 0; i < spec.mounts.size(); ++i) {
      if (spec.mounts[i].options.id_map && spec.mounts[i].id_maps.empty()) {
        fields.Fail(absl::StrCat("mounts[", i, "].options"),
                    "idmap: needs uidMappings, or a user namespace to take them from");
      }
    }
    return;
  }
  if (!user->path.empty()) return;
  if (!ns::ToHost(spec.id_maps.uids, 0).has_value()) {
    fields.Fail("linux.uidMappings", "the container's user 0 is not mapped");
  }
  if (!ns::ToHost(spec.id_maps.gids, 0).has_value()) {
    fields.Fail("linux.gidMappings", "the container's group 0 is not mapped");
  }
}

void CheckWhole(const JsonFields& fields, const Spec& spec) {
  if (!absl::StartsWith(spec.oci_version, "1.")) {
    fields.Fail("ociVersion", absl::StrCat("\"", spec.oci_version, "\" is not 1.x"));
  }
  auto makes_new = [&](uint64_t flag) {
    const NamespaceEntry* entry = spec.FindNamespace(flag);
    return entry != nullptr;
  };
  if (!makes_new(CLONE_NEWNS)) {
    fields.Fail("linux.namespaces", "without a mount namespace there is no container");
  }
  if (!spec.hostname.empty() && !makes_new(CLONE_NEWUTS)) {
    fields.Fail("hostname", "needs a uts namespace");
  }
  if (!spec.domainname.empty() && !makes_new(CLONE_NEWUTS)) {
    fields.Fail("domainname", "needs a uts namespace");
  }
  CheckIdMaps(fields, spec);
  if (!spec.net_devices.empty() && !makes_new(CLONE_NEWNET)) {
    fields.Fail("linux.netDevices", "needs a network namespace");
  }
  if (!spec.time_offsets.empty() && !makes_new(ns::kTime)) {
    fields.Fail("linux.timeOffsets", "needs a time namespace");
  }
  for (const auto& [key, value] : spec.sysctl) {
    bool ipc = absl::StartsWith(key, "kernel.msg") || absl::StartsWith(key, "kernel.sem") ||
               absl::StartsWith(key, "kernel.shm") || absl::StartsWith(key, "fs.mqueue.");
    bool net = absl::StartsWith(key, "net.");
    bool uts = key == "kernel.domainname" || key == "kernel.hostname";
    if ((ipc && makes_new(CLONE_NEWIPC)) || (net && makes_new(CLONE_NEWNET)) ||
        (uts && makes_new(CLONE_NEWUTS))) {
      continue;
    }
    fields.Fail("linux.sysctl",
                absl::StrCat("\"", key, "\" is not of a namespace of this container"));
  }
}

absl::StatusOr<rapidjson::Document> ParseDocument(absl::string_view json, absl::string_view what) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
      json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": not a JSON object (at byte ", document.GetErrorOffset(), ")"));
  }
  return document;
}

}  // namespace

absl::StatusOr<Spec> ParseSpec(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseDocument(json, "config.json"));
  absl::Status status;
  JsonFields fields(&document, "", status);
  Spec spec;
  fields.Text("ociVersion", spec.oci_version);
  if (!fields.Has("process")) fields.Fail("process", "missing");
  spec.process = ReadProcess(fields.Object("process"));
  JsonFields root = fields.Object("root");
  root.Text("path", spec.root_path);
  root.Bool("readonly", spec.root_readonly);
  if (spec.root_path.empty()) fields.Fail("root.path", "missing");
  fields.Text("hostname", spec.hostname);
  fields.Text("domainname", spec.domainname);
  fields.Objects("mounts",
                 [&](const JsonFields& mount) { spec.mounts.push_back(ReadMount(mount)); });
  JsonFields hooks = fields.Object("hooks");
  spec.hooks = {.prestart = ReadHooks(hooks, "prestart"),
                .create_runtime = ReadHooks(hooks, "createRuntime"),
                .create_container = ReadHooks(hooks, "createContainer"),
                .start_container = ReadHooks(hooks, "startContainer"),
                .poststart = ReadHooks(hooks, "poststart"),
                .poststop = ReadHooks(hooks, "poststop")};
  fields.StringMap("annotations", spec.annotations);
  ReadLinux(fields.Object("linux"), spec);
  CheckWhole(fields, spec);
  if (!status.ok()) return Annotate(status, "config.json");
  return spec;
}

absl::StatusOr<Process> ParseProcess(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseDocument(json, "process"));
  absl::Status status;
  Process process = ReadProcess(JsonFields(&document, "process", status));
  if (!status.ok()) return status;
  return process;
}

absl::StatusOr<cgroup::Limits> ParseResources(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseDocument(json, "resources"));
  absl::Status status;
  cgroup::Limits limits = ReadResources(JsonFields(&document, "resources", status));
  if (!status.ok()) return status;
  return limits;
}

}  // namespace darse::container
