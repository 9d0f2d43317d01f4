#include "services/builder/steps/image_config.h"

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/oci/image_config.h"

namespace darse::builder {
namespace {

using Json = rapidjson::Value;
using Allocator = rapidjson::Document::AllocatorType;

Json Text(absl::string_view text, Allocator& allocator) {
  return Json(text.data(), static_cast<rapidjson::SizeType>(text.size()), allocator);
}

template <typename List>
Json Array(const List& list, Allocator& allocator) {
  Json array(rapidjson::kArrayType);
  for (const auto& one : list) array.PushBack(Text(one, allocator), allocator);
  return array;
}

// {"a": {}, "b": {}}
template <typename List>
Json Keys(const List& list, Allocator& allocator) {
  Json object(rapidjson::kObjectType);
  for (const auto& one : list) {
    object.AddMember(Text(one, allocator), Json(rapidjson::kObjectType), allocator);
  }
  return object;
}

// Replaces a member, or takes it away if `value` is empty.
void Set(Json& object, const char* name, Json value, Allocator& allocator) {
  object.EraseMember(name);
  bool empty = (value.IsString() && value.GetStringLength() == 0) ||
               (value.IsArray() && value.Empty()) || (value.IsObject() && value.ObjectEmpty());
  if (!empty) object.AddMember(Json(name, allocator), value, allocator);
}

Json HealthcheckJson(const dockerfile::Healthcheck& check, Allocator& allocator) {
  Json json(rapidjson::kObjectType);
  json.AddMember("Test", Array(check.test, allocator), allocator);
  auto add = [&](const char* name, absl::Duration duration) {
    if (duration == absl::ZeroDuration()) return;
    json.AddMember(Json(name, allocator), Json(absl::ToInt64Nanoseconds(duration)), allocator);
  };
  add("Interval", check.interval);
  add("Timeout", check.timeout);
  add("StartPeriod", check.start_period);
  add("StartInterval", check.start_interval);
  if (check.retries != 0) json.AddMember("Retries", check.retries, allocator);
  return json;
}

// Members of the base's "config" that Darse does not know stay as they are.
void SetContainerConfig(const dockerfile::ContainerConfig& config, Json& json,
                        Allocator& allocator) {
  Set(json, "User", Text(config.user, allocator), allocator);
  Set(json, "ExposedPorts", Keys(config.exposed_ports, allocator), allocator);
  Set(json, "Env", Array(config.env, allocator), allocator);
  Set(json, "Entrypoint", Array(config.entrypoint, allocator), allocator);
  Set(json, "Cmd", Array(config.cmd, allocator), allocator);
  Set(json, "Volumes", Keys(config.volumes, allocator), allocator);
  Set(json, "WorkingDir", Text(config.working_dir, allocator), allocator);
  Json labels(rapidjson::kObjectType);
  for (const auto& [key, value] : config.labels) {
    labels.AddMember(Text(key, allocator), Text(value, allocator), allocator);
  }
  Set(json, "Labels", std::move(labels), allocator);
  Set(json, "StopSignal", Text(config.stop_signal, allocator), allocator);
  Set(json, "Shell", Array(config.shell, allocator), allocator);
  Set(json, "OnBuild", Array(config.on_build, allocator), allocator);
  Json check(rapidjson::kObjectType);
  if (config.healthcheck) check = HealthcheckJson(*config.healthcheck, allocator);
  Set(json, "Healthcheck", std::move(check), allocator);
}

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<rapidjson::Document> ParseObject(absl::string_view json) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) {
    return absl::InvalidArgumentError("the base image's config is no JSON object");
  }
  return document;
}

std::string TextMember(const Json& object, const char* name, absl::string_view otherwise) {
  auto found = object.FindMember(name);
  if (found == object.MemberEnd() || !found->value.IsString()) return std::string(otherwise);
  return found->value.GetString();
}

}  // namespace

absl::StatusOr<dockerfile::ContainerConfig> ReadContainerConfig(absl::string_view config_json) {
  ASSIGN_OR_RETURN(oci::ImageConfig image, oci::ParseImageConfig(config_json));
  dockerfile::ContainerConfig config{
      .env = image.env,
      .user = image.user,
      .working_dir = image.working_dir,
      .entrypoint = image.entrypoint,
      .cmd = image.cmd,
      .exposed_ports = {image.exposed_ports.begin(), image.exposed_ports.end()},
      .volumes = {image.volumes.begin(), image.volumes.end()},
      .labels = image.labels,
      .stop_signal = image.stop_signal,
      .shell = image.shell,
      .author = image.author};
  if (image.healthcheck) {
    config.healthcheck =
        dockerfile::Healthcheck{.test = image.healthcheck->test,
                                .interval = image.healthcheck->interval,
                                .timeout = image.healthcheck->timeout,
                                .start_period = image.healthcheck->start_period,
                                .start_interval = image.healthcheck->start_interval,
                                .retries = image.healthcheck->retries};
  }
  // Docker's own, which the OCI spec does not have.
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseObject(config_json));
  auto inner = document.FindMember("config");
  if (inner == document.MemberEnd() || !inner->value.IsObject()) return config;
  auto triggers = inner->value.FindMember("OnBuild");
  if (triggers == inner->value.MemberEnd() || !triggers->value.IsArray()) return config;
  for (const Json& trigger : triggers->value.GetArray()) {
    if (trigger.IsString()) config.on_build.emplace_back(trigger.GetString());
  }
  return config;
}

absl::StatusOr<std::string> MakeImageConfigJson(const ImageParts& parts) {
  ASSIGN_OR_RETURN(rapidjson::Document base,
                   ParseObject(parts.base_config_json.empty() ? "{}" : parts.base_config_json));
  rapidjson::Document out(rapidjson::kObjectType);
  Allocator& allocator = out.GetAllocator();
  Set(out, "architecture",
      Text(TextMember(base, "architecture", parts.platform.architecture), allocator), allocator);
  Set(out, "os", Text(TextMember(base, "os", parts.platform.os), allocator), allocator);
  std::string variant = parts.base_config_json.empty() ? parts.platform.variant : "";
  Set(out, "variant", Text(TextMember(base, "variant", variant), allocator), allocator);
  Set(out, "author", Text(parts.config.author, allocator), allocator);
  std::string created = Rfc3339(parts.created);
  Set(out, "created", Text(created, allocator), allocator);

  Json config(rapidjson::kObjectType);
  if (auto inner = base.FindMember("config");
      inner != base.MemberEnd() && inner->value.IsObject()) {
    config.CopyFrom(inner->value, allocator);
  }
  SetContainerConfig(parts.config, config, allocator);
  out.AddMember("config", config, allocator);

  Json diff_ids(rapidjson::kArrayType);
  if (auto rootfs = base.FindMember("rootfs");
      rootfs != base.MemberEnd() && rootfs->value.IsObject()) {
    auto below = rootfs->value.FindMember("diff_ids");
    if (below != rootfs->value.MemberEnd() && below->value.IsArray()) {
      diff_ids.CopyFrom(below->value, allocator);
    }
  }
  for (const std::string& diff_id : parts.diff_ids) {
    diff_ids.PushBack(Text(diff_id, allocator), allocator);
  }
  Json rootfs(rapidjson::kObjectType);
  rootfs.AddMember("type", "layers", allocator);
  rootfs.AddMember("diff_ids", diff_ids, allocator);
  out.AddMember("rootfs", rootfs, allocator);

  Json history(rapidjson::kArrayType);
  if (auto below = base.FindMember("history");
      below != base.MemberEnd() && below->value.IsArray()) {
    history.CopyFrom(below->value, allocator);
  }
  for (const HistoryLine& line : parts.history) {
    Json entry(rapidjson::kObjectType);
    entry.AddMember("created", Text(created, allocator), allocator);
    entry.AddMember("created_by", Text(line.created_by, allocator), allocator);
    if (line.empty_layer) entry.AddMember("empty_layer", true, allocator);
    history.PushBack(entry, allocator);
  }
  out.AddMember("history", history, allocator);

  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  out.Accept(writer);
  return std::string(buffer.GetString(), buffer.GetSize());
}

}  // namespace darse::builder
