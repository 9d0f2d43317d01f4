#include "libs/oci/image_config.h"

#include <sys/utsname.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/oci/json_document.h"

namespace darse::oci {
namespace {

constexpr size_t kMaxBytes = 8 << 20;
constexpr size_t kMaxLayers = 500;

using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

absl::Status ReadDuration(const JsonObject& object, absl::string_view name, absl::Duration* out) {
  int64_t nanoseconds = 0;
  RETURN_IF_ERROR(object.Read(name, &nanoseconds));
  if (nanoseconds < 0) return object.WrongType(name, "a positive duration");
  *out = absl::Nanoseconds(nanoseconds);
  return absl::OkStatus();
}

absl::StatusOr<Healthcheck> ReadHealthcheck(const JsonValue& value) {
  ASSIGN_OR_RETURN(JsonObject object, JsonObject::From(value, "image config: Healthcheck"));
  Healthcheck check;
  RETURN_IF_ERROR(object.Read("Test", &check.test));
  RETURN_IF_ERROR(ReadDuration(object, "Interval", &check.interval));
  RETURN_IF_ERROR(ReadDuration(object, "Timeout", &check.timeout));
  RETURN_IF_ERROR(ReadDuration(object, "StartPeriod", &check.start_period));
  RETURN_IF_ERROR(ReadDuration(object, "StartInterval", &check.start_interval));
  int64_t retries = 0;
  RETURN_IF_ERROR(object.Read("Retries", &retries));
  if (retries < 0 || retries > 1'000'000) return object.WrongType("Retries", "a small number");
  check.retries = static_cast<int>(retries);
  return check;
}

// Docker wrote a bare string here long ago.
absl::Status ReadCommand(const JsonObject& object, absl::string_view name,
                         std::vector<std::string>* out) {
  const JsonValue* value = object.Find(name);
  if (value != nullptr && value->IsString()) {
    *out = {"/bin/sh", "-c", std::string(JsonText(*value))};
    return absl::OkStatus();
  }
  return object.Read(name, out);
}

absl::Status ReadRunConfig(const JsonValue& value, ImageConfig* config) {
  ASSIGN_OR_RETURN(JsonObject object, JsonObject::From(value, "image config: config"));
  RETURN_IF_ERROR(object.Read("User", &config->user));
  RETURN_IF_ERROR(object.Read("Env", &config->env));
  RETURN_IF_ERROR(ReadCommand(object, "Entrypoint", &config->entrypoint));
  RETURN_IF_ERROR(ReadCommand(object, "Cmd", &config->cmd));
  RETURN_IF_ERROR(object.ReadKeys("Volumes", &config->volumes));
  RETURN_IF_ERROR(object.ReadKeys("ExposedPorts", &config->exposed_ports));
  RETURN_IF_ERROR(object.Read("WorkingDir", &config->working_dir));
  RETURN_IF_ERROR(object.Read("Labels", &config->labels));
  RETURN_IF_ERROR(object.Read("StopSignal", &config->stop_signal));
  RETURN_IF_ERROR(object.Read("Shell", &config->shell));
  if (const JsonValue* check = object.Find("Healthcheck")) {
    ASSIGN_OR_RETURN(config->healthcheck, ReadHealthcheck(*check));
  }
  return absl::OkStatus();
}

absl::Status ReadRootfs(const JsonObject& root, ImageConfig* config) {
  const JsonValue* value = root.Find("rootfs");
  if (value == nullptr) return absl::InvalidArgumentError("image config: no \"rootfs\"");
  ASSIGN_OR_RETURN(JsonObject rootfs, JsonObject::From(*value, "image config: rootfs"));
  std::string type = "layers";
  RETURN_IF_ERROR(rootfs.Read("type", &type));
  if (type != "layers") return rootfs.WrongType("type", "\"layers\"");
  std::vector<std::string> diff_ids;
  RETURN_IF_ERROR(rootfs.Read("diff_ids", &diff_ids));
  if (diff_ids.size() > kMaxLayers) {
    return absl::InvalidArgumentError(
        absl::StrCat("image config: ", diff_ids.size(), " layers; at most ", kMaxLayers));
  }
  for (const std::string& text : diff_ids) {
    ASSIGN_OR_RETURN(Digest digest, Annotate(Digest::Parse(text), "image config: diff_ids"));
    config->diff_ids.push_back(std::move(digest));
  }
  return absl::OkStatus();
}

absl::Status ReadHistory(const JsonObject& root, ImageConfig* config) {
  const JsonValue* value = root.Find("history");
  if (value == nullptr) return absl::OkStatus();
  if (!value->IsArray()) return root.WrongType("history", "a list");
  for (const JsonValue& item : value->GetArray()) {
    ASSIGN_OR_RETURN(JsonObject object, JsonObject::From(item, "image config: history"));
    HistoryEntry entry;
    RETURN_IF_ERROR(object.Read("created", &entry.created));
    RETURN_IF_ERROR(object.Read("created_by", &entry.created_by));
    RETURN_IF_ERROR(object.Read("author", &entry.author));
    RETURN_IF_ERROR(object.Read("comment", &entry.comment));
    RETURN_IF_ERROR(object.Read("empty_layer", &entry.empty_layer));
    config->history.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

void Put(JsonWriter& json, const char* key, const std::string& value) {
  if (value.empty()) return;
  json.Key(key);
  json.String(value);
}

}  // namespace

absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseJson(json, "image config", kMaxBytes));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, "image config"));
  ImageConfig config;
  RETURN_IF_ERROR(root.Read("created", &config.created));
  RETURN_IF_ERROR(root.Read("author", &config.author));
  RETURN_IF_ERROR(root.Read("architecture", &config.architecture));
  RETURN_IF_ERROR(root.Read("os", &config.os));
  if (const JsonValue* run = root.Find("config")) RETURN_IF_ERROR(ReadRunConfig(*run, &config));
  RETURN_IF_ERROR(ReadRootfs(root, &config));
  RETURN_IF_ERROR(ReadHistory(root, &config));
  return config;
}

absl::StatusOr<std::string> MakeImageConfig(const NewImageConfig& config) {
  ASSIGN_OR_RETURN(rapidjson::Document run,
                   ParseJson(config.config_json.empty() ? "{}" : config.config_json,
                             "image config: config", kMaxBytes));
  if (!run.IsObject()) return absl::InvalidArgumentError("image config: config: not an object");
  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.StartObject();
  Put(json, "created", config.created);
  Put(json, "architecture", config.architecture);
  Put(json, "os", config.os);
  json.Key("config");
  run.Accept(json);
  json.Key("rootfs");
  json.StartObject();
  Put(json, "type", "layers");
  json.Key("diff_ids");
  json.StartArray();
  for (const Digest& digest : config.diff_ids) json.String(digest.text());
  json.EndArray();
  json.EndObject();
  json.Key("history");
  json.StartArray();
  for (const HistoryEntry& entry : config.history) {
    json.StartObject();
    Put(json, "created", entry.created);
    Put(json, "created_by", entry.created_by);
    Put(json, "author", entry.author);
    Put(json, "comment", entry.comment);
    if (entry.empty_layer) {
      json.Key("empty_layer");
      json.Bool(true);
    }
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  std::string text(buffer.GetString(), buffer.GetSize());
  RETURN_IF_ERROR(ParseImageConfig(text).status());
  return text;
}

std::string HostArchitecture() {
  struct utsname names;
  if (uname(&names) != 0) return "unknown";
  absl::string_view machine = names.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine == "riscv64" || machine == "ppc64le" || machine == "s390x") {
    return std::string(machine);
  }
  if (machine == "i686") return "386";
  if (machine.substr(0, 3) == "arm") return "arm";
  return std::string(machine);
}

std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> chain;
  for (const Digest& diff_id : diff_ids) {
    chain.push_back(chain.empty()
                        ? diff_id
                        : Digest::Of(absl::StrCat(chain.back().text(), " ", diff_id.text())));
  }
  return chain;
}

}  // namespace darse::oci
