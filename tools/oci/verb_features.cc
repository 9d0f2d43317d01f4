// darse-oci features: what of the specification is done (features.md), whatever this host can do of
// it.
#include <stdio.h>

#include "libs/linux/capability/capability.h"
#include "rapidjson/prettywriter.h"
#include "rapidjson/stringbuffer.h"
#include "tools/oci/verbs.h"

namespace darse::ocitool {
namespace {

using Json = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void Text(Json& json, const char* key, const char* value) {
  json.Key(key);
  json.String(value);
}
void Bool(Json& json, const char* key, bool value) {
  json.Key(key);
  json.Bool(value);
}
void Strings(Json& json, const char* key, const std::vector<std::string>& values) {
  json.Key(key);
  json.StartArray();
  for (const std::string& value : values) json.String(value);
  json.EndArray();
}

}  // namespace

absl::StatusOr<int> Features(const Globals&, const Args&) {
  rapidjson::StringBuffer buffer;
  Json json(buffer);
  json.StartObject();
  Text(json, "ociVersionMin", "1.0.0");
  Text(json, "ociVersionMax", kSpecVersion);
  Strings(
      json, "hooks",
      {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"});
  Strings(json, "mountOptions",
          {"async",     "atime",       "bind",     "defaults",   "dev",
           "diratime",  "dirsync",     "exec",     "idmap",      "noatime",
           "nodev",     "nodiratime",  "noexec",   "norelatime", "nostrictatime",
           "nosuid",    "nosymfollow", "private",  "ratime",     "rbind",
           "rdev",      "rdiratime",   "relatime", "rexec",      "rnoatime",
           "rnodev",    "rnodiratime", "rnoexec",  "rnosuid",    "ro",
           "rprivate",  "rro",         "rrw",      "rshared",    "rslave",
           "rsuid",     "runbindable", "ridmap",   "rw",         "shared",
           "slave",     "strictatime", "suid",     "sync",       "tmpcopyup",
           "unbindable"});
  json.Key("linux");
  json.StartObject();
  Strings(json, "namespaces", {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"});
  Strings(json, "capabilities", capability::Names(capability::KernelSet()));
  json.Key("cgroup");
  json.StartObject();
  for (const char* key : {"v1", "v2", "rdma", "systemd"}) Bool(json, key, true);
  Bool(json, "systemdUser", false);
  json.EndObject();
  json.Key("seccomp");
  json.StartObject();
  Bool(json, "enabled", true);
  Strings(json, "actions",
          {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
           "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
           "SCMP_ACT_TRAP"});
  Strings(json, "operators",
          {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
           "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"});
  Strings(
      json, "archs",
      {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"});
  Strings(json, "knownFlags",
          {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
           "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"});
  json.EndObject();
  for (const char* key : {"apparmor", "selinux", "intelRdt", "netDevices"}) {
    json.Key(key);
    json.StartObject();
    Bool(json, "enabled", true);
    json.EndObject();
  }
  json.Key("mountExtensions");
  json.StartObject();
  json.Key("idmap");
  json.StartObject();
  Bool(json, "enabled", true);
  json.EndObject();
  json.EndObject();
  json.EndObject();
  json.EndObject();
  printf("%s\n", buffer.GetString());
  return 0;
}

}  // namespace darse::ocitool
