#include <linux/capability.h>
#include <stdio.h>
#include <sys/utsname.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/linux/capability/capability.h"
#include "libs/linux/seccomp/seccomp_profile.h"
#include "rapidjson/document.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::seccomp {
namespace {

using Value = rapidjson::Value;

#if defined(__x86_64__)
constexpr absl::string_view kNative = "SCMP_ARCH_X86_64", kGoArch = "amd64";
#elif defined(__aarch64__)
constexpr absl::string_view kNative = "SCMP_ARCH_AARCH64", kGoArch = "arm64";
#else
#error "seccomp profiles: this architecture has no names here yet"
#endif

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile: ", what));
}

absl::string_view View(const Value& text) {
  return absl::string_view(text.GetString(), text.GetStringLength());
}

absl::StatusOr<std::vector<std::string>> Strings(const Value& object, const char* key) {
  std::vector<std::string> strings;
  auto member = object.FindMember(key);
  if (member == object.MemberEnd() || member->value.IsNull()) return strings;
  if (!member->value.IsArray()) return Bad(absl::StrCat(key, " is not a list"));
  for (const Value& item : member->value.GetArray()) {
    if (!item.IsString()) return Bad(absl::StrCat(key, " holds something that is not a string"));
    strings.emplace_back(View(item));
  }
  return strings;
}

absl::StatusOr<std::string> Text(const Value& object, const char* key) {
  auto member = object.FindMember(key);
  if (member == object.MemberEnd() || member->value.IsNull()) return std::string();
  if (!member->value.IsString()) return Bad(absl::StrCat(key, " is not a string"));
  return std::string(View(member->value));
}

absl::StatusOr<std::optional<uint64_t>> Number(const Value& object, const char* key) {
  auto member = object.FindMember(key);
  if (member == object.MemberEnd() || member->value.IsNull()) return std::optional<uint64_t>();
  if (!member->value.IsUint64()) return Bad(absl::StrCat(key, " is not a number"));
  return std::optional<uint64_t>(member->value.GetUint64());
}

absl::Status KnowsOnly(const Value& object, std::initializer_list<absl::string_view> keys) {
  for (const auto& member : object.GetObject()) {
    if (std::find(keys.begin(), keys.end(), View(member.name)) == keys.end()) {
      return Bad(absl::StrCat("unknown key \"", View(member.name), "\""));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> KernelIsAtLeast(const std::string& wanted) {
  int want_major = 0, want_minor = 0, major = 0, minor = 0;
  char trailing;
  if (sscanf(wanted.c_str(), "%d.%d%c", &want_major, &want_minor, &trailing) != 2) {
    return Bad(absl::StrCat("minKernel \"", wanted, "\" is not of the form 4.8"));
  }
  utsname name;
  uname(&name);
  sscanf(name.release, "%d.%d", &major, &minor);
  return std::pair(major, minor) >= std::pair(want_major, want_minor);
}

// `includes`: all that it names must be there. `excludes`: none of it may be.
absl::StatusOr<bool> Applies(const Value& rule, const char* key, bool including,
                             uint64_t capabilities) {
  auto member = rule.FindMember(key);
  if (member == rule.MemberEnd() || member->value.IsNull()) return true;
  const Value& filter = member->value;
  if (!filter.IsObject()) return Bad(absl::StrCat(key, " is not an object"));
  RETURN_IF_ERROR(KnowsOnly(filter, {"caps", "arches", "minKernel"}));
  ASSIGN_OR_RETURN(std::vector<std::string> caps, Strings(filter, "caps"));
  for (const std::string& name : caps) {
    ASSIGN_OR_RETURN(int capability, capability::Parse(name));
    bool has = (capabilities & capability::Bit(capability)) != 0;
    if (has != including) return false;
  }
  ASSIGN_OR_RETURN(std::vector<std::string> arches, Strings(filter, "arches"));
  if (!arches.empty()) {
    bool has = std::find(arches.begin(), arches.end(), kGoArch) != arches.end();
    if (has != including) return false;
  }
  ASSIGN_OR_RETURN(std::string kernel, Text(filter, "minKernel"));
  if (!kernel.empty()) {
    ASSIGN_OR_RETURN(bool new_enough, KernelIsAtLeast(kernel));
    if (new_enough != including) return false;
  }
  return true;
}

absl::StatusOr<std::vector<Comparison>> Comparisons(const Value& rule) {
  std::vector<Comparison> comparisons;
  auto args = rule.FindMember("args");
  if (args == rule.MemberEnd() || args->value.IsNull()) return comparisons;
  if (!args->value.IsArray()) return Bad("args is not a list");
  for (const Value& arg : args->value.GetArray()) {
    if (!arg.IsObject()) return Bad("args holds something that is not an object");
    RETURN_IF_ERROR(KnowsOnly(arg, {"index", "value", "valueTwo", "op"}));
    ASSIGN_OR_RETURN(std::optional<uint64_t> index, Number(arg, "index"));
    ASSIGN_OR_RETURN(std::optional<uint64_t> value, Number(arg, "value"));
    ASSIGN_OR_RETURN(std::optional<uint64_t> two, Number(arg, "valueTwo"));
    ASSIGN_OR_RETURN(std::string op, Text(arg, "op"));
    if (index.value_or(0) > 5) return Bad("args: a call has six arguments, 0 to 5");
    comparisons.push_back({static_cast<uint32_t>(index.value_or(0)), value.value_or(0),
                           two.value_or(0), std::move(op)});
  }
  return comparisons;
}

absl::StatusOr<std::vector<std::string>> Architectures(const Value& document) {
  ASSIGN_OR_RETURN(std::vector<std::string> architectures, Strings(document, "architectures"));
  auto map = document.FindMember("archMap");
  if (map == document.MemberEnd() || map->value.IsNull()) return architectures;
  if (!map->value.IsArray()) return Bad("archMap is not a list");
  if (!architectures.empty()) return Bad("both architectures and archMap");
  for (const Value& entry : map->value.GetArray()) {
    if (!entry.IsObject()) return Bad("archMap holds something that is not an object");
    ASSIGN_OR_RETURN(std::string name, Text(entry, "architecture"));
    if (name != kNative) continue;
    ASSIGN_OR_RETURN(architectures, Strings(entry, "subArchitectures"));
    architectures.insert(architectures.begin(), name);
  }
  return architectures;
}

}  // namespace

absl::StatusOr<Profile> ParseDockerProfile(absl::string_view json, uint64_t capabilities) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) {
    return Bad(absl::StrCat("not a JSON object (at byte ", document.GetErrorOffset(), ")"));
  }
  RETURN_IF_ERROR(
      KnowsOnly(document, {"defaultAction", "defaultErrnoRet", "archMap", "architectures", "flags",
                           "listenerPath", "listenerMetadata", "syscalls"}));
  Profile profile;
  ASSIGN_OR_RETURN(profile.default_action, Text(document, "defaultAction"));
  if (profile.default_action.empty()) return Bad("defaultAction is missing");
  ASSIGN_OR_RETURN(std::optional<uint64_t> default_errno, Number(document, "defaultErrnoRet"));
  if (default_errno.has_value()) profile.default_errno = static_cast<uint32_t>(*default_errno);
  ASSIGN_OR_RETURN(profile.architectures, Architectures(document));
  ASSIGN_OR_RETURN(profile.flags, Strings(document, "flags"));
  ASSIGN_OR_RETURN(profile.listener_path, Text(document, "listenerPath"));
  ASSIGN_OR_RETURN(profile.listener_metadata, Text(document, "listenerMetadata"));
  auto syscalls = document.FindMember("syscalls");
  if (syscalls == document.MemberEnd() || syscalls->value.IsNull()) return profile;
  if (!syscalls->value.IsArray()) return Bad("syscalls is not a list");
  for (const Value& entry : syscalls->value.GetArray()) {
    if (!entry.IsObject()) return Bad("syscalls holds something that is not an object");
    RETURN_IF_ERROR(KnowsOnly(
        entry, {"name", "names", "action", "errnoRet", "args", "comment", "includes", "excludes"}));
    ASSIGN_OR_RETURN(bool included, Applies(entry, "includes", true, capabilities));
    ASSIGN_OR_RETURN(bool not_excluded, Applies(entry, "excludes", false, capabilities));
    if (!included || !not_excluded) continue;
    Rule rule;
    ASSIGN_OR_RETURN(rule.names, Strings(entry, "names"));
    ASSIGN_OR_RETURN(std::string name, Text(entry, "name"));
    if (!name.empty()) rule.names.push_back(std::move(name));
    ASSIGN_OR_RETURN(rule.action, Text(entry, "action"));
    ASSIGN_OR_RETURN(std::optional<uint64_t> errno_value, Number(entry, "errnoRet"));
    if (errno_value.has_value()) rule.errno_value = static_cast<uint32_t>(*errno_value);
    ASSIGN_OR_RETURN(rule.args, Comparisons(entry));
    profile.rules.push_back(std::move(rule));
  }
  return profile;
}

std::string ToOciJson(const Profile& profile) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  auto strings = [&](const char* key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    writer.Key(key);
    writer.StartArray();
    for (const std::string& value : values) writer.String(value);
    writer.EndArray();
  };
  auto text = [&](const char* key, const std::string& value) {
    if (value.empty()) return;
    writer.Key(key);
    writer.String(value);
  };
  writer.StartObject();
  text("defaultAction", profile.default_action);
  if (profile.default_errno.has_value()) {
    writer.Key("defaultErrnoRet");
    writer.Uint(*profile.default_errno);
  }
  strings("architectures", profile.architectures);
  strings("flags", profile.flags);
  text("listenerPath", profile.listener_path);
  text("listenerMetadata", profile.listener_metadata);
  writer.Key("syscalls");
  writer.StartArray();
  for (const Rule& rule : profile.rules) {
    writer.StartObject();
    strings("names", rule.names);
    text("action", rule.action);
    if (rule.errno_value.has_value()) {
      writer.Key("errnoRet");
      writer.Uint(*rule.errno_value);
    }
    if (!rule.args.empty()) {
      writer.Key("args");
      writer.StartArray();
      for (const Comparison& arg : rule.args) {
        writer.StartObject();
        writer.Key("index");
        writer.Uint(arg.index);
        writer.Key("value");
        writer.Uint64(arg.value);
        writer.Key("valueTwo");
        writer.Uint64(arg.value_two);
        text("op", arg.op);
        writer.EndObject();
      }
      writer.EndArray();
    }
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

}  // namespace darse::seccomp
