#include "services/shim/shim_config.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "rapidjson/document.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::shim {
namespace {

using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

constexpr const char* kKindNames[] = {"no", "on-failure", "always", "unless-stopped"};

absl::Status Bad(absl::string_view key) {
  return absl::InvalidArgumentError(absl::StrCat("shim.json: bad \"", key, "\""));
}

void Write(JsonWriter& writer, const char* key, const std::string& value) {
  writer.Key(key);
  writer.String(value);
}

void Write(JsonWriter& writer, const char* key, int64_t value) {
  writer.Key(key);
  writer.Int64(value);
}

absl::Status Read(const rapidjson::Value& value, absl::string_view key, std::string& into) {
  if (!value.IsString()) return Bad(key);
  into.assign(value.GetString(), value.GetStringLength());
  return absl::OkStatus();
}

absl::Status Read(const rapidjson::Value& value, absl::string_view key, int64_t& into) {
  if (!value.IsInt64() || value.GetInt64() < 0) return Bad(key);
  into = value.GetInt64();
  return absl::OkStatus();
}

template <typename T>
absl::Status ReadSmall(const rapidjson::Value& value, absl::string_view key, T& into) {
  if (!value.IsInt() || value.GetInt() < 0) return Bad(key);
  into = static_cast<T>(value.GetInt());
  return absl::OkStatus();
}

absl::Status ReadRootfs(const rapidjson::Value& value, RootfsSource& rootfs) {
  if (!value.IsObject()) return Bad("rootfs");
  for (const auto& [name, member] : value.GetObject()) {
    absl::string_view key(name.GetString(), name.GetStringLength());
    if (key == "lower_dirs") {
      if (!member.IsArray()) return Bad("rootfs.lower_dirs");
      for (const auto& dir : member.GetArray()) {
        RETURN_IF_ERROR(Read(dir, "rootfs.lower_dirs", rootfs.lower_dirs.emplace_back()));
      }
    } else if (key == "upper_dir") {
      RETURN_IF_ERROR(Read(member, "rootfs.upper_dir", rootfs.upper_dir));
    } else if (key == "work_dir") {
      RETURN_IF_ERROR(Read(member, "rootfs.work_dir", rootfs.work_dir));
    } else if (key == "path") {
      RETURN_IF_ERROR(Read(member, "rootfs.path", rootfs.path));
    } else if (key == "id_map") {
      if (!member.IsBool()) return Bad("rootfs.id_map");
      rootfs.id_map = member.GetBool();
    } else {
      return Bad(absl::StrCat("rootfs.", key));
    }
  }
  if (rootfs.lower_dirs.empty() == rootfs.path.empty()) return Bad("rootfs");
  if (rootfs.upper_dir.empty() != rootfs.work_dir.empty()) return Bad("rootfs.work_dir");
  return absl::OkStatus();
}

absl::Status ReadLog(const rapidjson::Value& value, LogOptions& log) {
  if (!value.IsObject()) return Bad("log");
  for (const auto& [name, member] : value.GetObject()) {
    absl::string_view key(name.GetString(), name.GetStringLength());
    if (key == "dir") {
      RETURN_IF_ERROR(Read(member, "log.dir", log.dir));
    } else if (key == "max_size_bytes") {
      RETURN_IF_ERROR(Read(member, "log.max_size_bytes", log.max_size_bytes));
    } else if (key == "max_files") {
      RETURN_IF_ERROR(ReadSmall(member, "log.max_files", log.max_files));
    } else {
      return Bad(absl::StrCat("log.", key));
    }
  }
  if (log.max_size_bytes < 1) return Bad("log.max_size_bytes");
  if (log.max_files < 1) return Bad("log.max_files");
  return absl::OkStatus();
}

absl::Status ReadRestart(const rapidjson::Value& value, RestartPolicy& restart) {
  if (!value.IsObject()) return Bad("restart");
  for (const auto& [name, member] : value.GetObject()) {
    absl::string_view key(name.GetString(), name.GetStringLength());
    if (key == "kind") {
      std::string kind;
      RETURN_IF_ERROR(Read(member, "restart.kind", kind));
      size_t i = 0;
      while (i < std::size(kKindNames) && kind != kKindNames[i]) ++i;
      if (i == std::size(kKindNames)) return Bad("restart.kind");
      restart.kind = static_cast<RestartKind>(i);
    } else if (key == "max_retries") {
      RETURN_IF_ERROR(ReadSmall(member, "restart.max_retries", restart.max_retries));
    } else if (key == "window_ms") {
      RETURN_IF_ERROR(Read(member, "restart.window_ms", restart.window_ms));
    } else if (key == "delay_ms") {
      RETURN_IF_ERROR(Read(member, "restart.delay_ms", restart.delay_ms));
      if (restart.delay_ms < 1 || restart.delay_ms > kLongestRestartDelayMs) {
        return Bad("restart.delay_ms");
      }
    } else {
      return Bad(absl::StrCat("restart.", key));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string EncodeShimConfig(const ShimConfig& config) {
  rapidjson::StringBuffer buffer;
  JsonWriter writer(buffer);
  writer.StartObject();
  Write(writer, "id", config.id);
  writer.Key("rootfs");
  writer.StartObject();
  if (config.rootfs.lower_dirs.empty()) {
    Write(writer, "path", config.rootfs.path);
  } else {
    writer.Key("lower_dirs");
    writer.StartArray();
    for (const std::string& dir : config.rootfs.lower_dirs) writer.String(dir);
    writer.EndArray();
    Write(writer, "upper_dir", config.rootfs.upper_dir);
    Write(writer, "work_dir", config.rootfs.work_dir);
  }
  writer.Key("id_map");
  writer.Bool(config.rootfs.id_map);
  writer.EndObject();
  writer.Key("log");
  writer.StartObject();
  Write(writer, "dir", config.log.dir);
  Write(writer, "max_size_bytes", config.log.max_size_bytes);
  Write(writer, "max_files", config.log.max_files);
  writer.EndObject();
  writer.Key("restart");
  writer.StartObject();
  Write(writer, "kind", kKindNames[static_cast<size_t>(config.restart.kind)]);
  Write(writer, "max_retries", config.restart.max_retries);
  Write(writer, "window_ms", config.restart.window_ms);
  Write(writer, "delay_ms", config.restart.delay_ms);
  writer.EndObject();
  Write(writer, "stop_signal", config.stop_signal);
  writer.Key("stdin_open");
  writer.Bool(config.stdin_open);
  writer.Key("transient");
  writer.Bool(config.transient);
  Write(writer, "columns", config.columns);
  Write(writer, "rows", config.rows);
  Write(writer, "seccomp_cache", config.seccomp_cache);
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

absl::StatusOr<ShimConfig> DecodeShimConfig(absl::string_view json) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) {
    return absl::InvalidArgumentError(
        absl::StrCat("shim.json: not a JSON object (at byte ", document.GetErrorOffset(), ")"));
  }
  ShimConfig config;
  bool has_rootfs = false;
  for (const auto& [name, member] : document.GetObject()) {
    absl::string_view key(name.GetString(), name.GetStringLength());
    if (key == "id") {
      RETURN_IF_ERROR(Read(member, key, config.id));
    } else if (key == "rootfs") {
      RETURN_IF_ERROR(ReadRootfs(member, config.rootfs));
      has_rootfs = true;
    } else if (key == "log") {
      RETURN_IF_ERROR(ReadLog(member, config.log));
    } else if (key == "restart") {
      RETURN_IF_ERROR(ReadRestart(member, config.restart));
    } else if (key == "stop_signal") {
      RETURN_IF_ERROR(ReadSmall(member, key, config.stop_signal));
    } else if (key == "stdin_open") {
      if (!member.IsBool()) return Bad(key);
      config.stdin_open = member.GetBool();
    } else if (key == "transient") {
      if (!member.IsBool()) return Bad(key);
      config.transient = member.GetBool();
    } else if (key == "columns") {
      RETURN_IF_ERROR(ReadSmall(member, key, config.columns));
    } else if (key == "rows") {
      RETURN_IF_ERROR(ReadSmall(member, key, config.rows));
    } else if (key == "seccomp_cache") {
      RETURN_IF_ERROR(Read(member, key, config.seccomp_cache));
    } else {
      return Bad(key);
    }
  }
  if (config.id.empty()) return Bad("id");
  if (!has_rootfs) return Bad("rootfs");
  if (config.stop_signal < 1 || config.stop_signal > 64) return Bad("stop_signal");
  return config;
}

}  // namespace darse::shim
