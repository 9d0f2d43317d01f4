#include "services/shim/exit_record.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "rapidjson/document.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::shim {
namespace {

absl::Status Bad(absl::string_view key) {
  return absl::DataLossError(absl::StrCat("exit record: bad or missing \"", key, "\""));
}

template <typename T>
absl::Status ReadInt(const rapidjson::Value& object, const char* key, T& into) {
  auto member = object.FindMember(key);
  if (member == object.MemberEnd()) return Bad(key);
  if constexpr (sizeof(T) == 8 && std::is_unsigned_v<T>) {
    if (!member->value.IsUint64()) return Bad(key);
    into = member->value.GetUint64();
  } else if constexpr (sizeof(T) == 8) {
    if (!member->value.IsInt64()) return Bad(key);
    into = member->value.GetInt64();
  } else {
    if (!member->value.IsInt()) return Bad(key);
    into = member->value.GetInt();
  }
  return absl::OkStatus();
}

absl::Status ReadBool(const rapidjson::Value& object, const char* key, bool& into) {
  auto member = object.FindMember(key);
  if (member == object.MemberEnd() || !member->value.IsBool()) return Bad(key);
  into = member->value.GetBool();
  return absl::OkStatus();
}

}  // namespace

std::string EncodeExitRecord(const ExitRecord& record) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  writer.StartObject();
  writer.Key("sequence");
  writer.Uint64(record.sequence);
  writer.Key("time_ns");
  writer.Int64(record.time_ns);
  writer.Key("started_ns");
  writer.Int64(record.started_ns);
  writer.Key("pid");
  writer.Int64(record.pid);
  writer.Key("exit_code");
  writer.Int(record.exit_code);
  writer.Key("signal");
  writer.Int(record.signal);
  writer.Key("oom_killed");
  writer.Bool(record.oom_killed);
  writer.Key("stopped");
  writer.Bool(record.stopped);
  writer.Key("final");
  writer.Bool(record.final);
  writer.Key("restart_delay_ms");
  writer.Int64(record.restart_delay_ms);
  writer.Key("restart_count");
  writer.Int(record.restart_count);
  writer.Key("error");
  writer.String(record.error);
  writer.EndObject();
  return absl::StrCat(absl::string_view(buffer.GetString(), buffer.GetSize()), "\n");
}

absl::StatusOr<ExitRecord> DecodeExitRecord(absl::string_view line) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(line.data(), line.size());
  if (document.HasParseError() || !document.IsObject()) {
    return absl::DataLossError("exit record: not a JSON object");
  }
  ExitRecord record;
  RETURN_IF_ERROR(ReadInt(document, "sequence", record.sequence));
  RETURN_IF_ERROR(ReadInt(document, "time_ns", record.time_ns));
  RETURN_IF_ERROR(ReadInt(document, "started_ns", record.started_ns));
  RETURN_IF_ERROR(ReadInt(document, "pid", record.pid));
  RETURN_IF_ERROR(ReadInt(document, "exit_code", record.exit_code));
  RETURN_IF_ERROR(ReadInt(document, "signal", record.signal));
  RETURN_IF_ERROR(ReadBool(document, "oom_killed", record.oom_killed));
  RETURN_IF_ERROR(ReadBool(document, "stopped", record.stopped));
  RETURN_IF_ERROR(ReadBool(document, "final", record.final));
  RETURN_IF_ERROR(ReadInt(document, "restart_delay_ms", record.restart_delay_ms));
  RETURN_IF_ERROR(ReadInt(document, "restart_count", record.restart_count));
  auto error = document.FindMember("error");
  if (error == document.MemberEnd() || !error->value.IsString()) return Bad("error");
  record.error.assign(error->value.GetString(), error->value.GetStringLength());
  return record;
}

absl::StatusOr<ExitJournal> DecodeExitJournal(absl::string_view content) {
  ExitJournal journal;
  size_t begin = 0;
  for (size_t end; (end = content.find('\n', begin)) != absl::string_view::npos; begin = end + 1) {
    ASSIGN_OR_RETURN(ExitRecord record, DecodeExitRecord(content.substr(begin, end - begin)));
    journal.records.push_back(std::move(record));
    journal.complete_bytes = end + 1;
  }
  return journal;
}

}  // namespace darse::shim
