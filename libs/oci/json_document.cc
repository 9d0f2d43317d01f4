#include "libs/oci/json_document.h"

#include <rapidjson/error/en.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace darse::oci {

absl::StatusOr<rapidjson::Document> ParseJson(absl::string_view text, absl::string_view what,
                                              size_t max_bytes) {
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", text.size(), " bytes of JSON; at most ", max_bytes));
  }
  rapidjson::Document document;
  // Not kParseFullPrecisionFlag: its strtod reads beyond its tables for some exponents.
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
      text.data(), text.size());
  if (document.HasParseError()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": not JSON: ", rapidjson::GetParseError_En(document.GetParseError()),
                     " (at byte ", document.GetErrorOffset(), ")"));
  }
  return document;
}

absl::StatusOr<JsonObject> JsonObject::From(const JsonValue& value, absl::string_view what) {
  if (!value.IsObject()) return absl::InvalidArgumentError(absl::StrCat(what, ": not an object"));
  return JsonObject(value, what);
}

const JsonValue* JsonObject::Find(absl::string_view name) const {
  auto found = value_->FindMember(
      JsonValue(rapidjson::StringRef(name.data(), static_cast<rapidjson::SizeType>(name.size()))));
  if (found == value_->MemberEnd() || found->value.IsNull()) return nullptr;
  return &found->value;
}

absl::Status JsonObject::WrongType(absl::string_view name, absl::string_view wanted) const {
  return absl::InvalidArgumentError(absl::StrCat(what_, ": \"", name, "\" is not ", wanted));
}

absl::Status JsonObject::Read(absl::string_view name, std::string* out) const {
  const JsonValue* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->IsString()) return WrongType(name, "a string");
  *out = std::string(JsonText(*value));
  return absl::OkStatus();
}

absl::Status JsonObject::Read(absl::string_view name, bool* out) const {
  const JsonValue* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->IsBool()) return WrongType(name, "true or false");
  *out = value->GetBool();
  return absl::OkStatus();
}

absl::Status JsonObject::Read(absl::string_view name, int64_t* out) const {
  const JsonValue* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->IsInt64()) return WrongType(name, "a whole number");
  *out = value->GetInt64();
  return absl::OkStatus();
}

absl::Status JsonObject::Read(absl::string_view name, std::vector<std::string>* out) const {
  const JsonValue* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->IsArray()) return WrongType(name, "a list of strings");
  std::vector<std::string> strings;
  for (const JsonValue& item : value->GetArray()) {
    if (!item.IsString()) return WrongType(name, "a list of strings");
    strings.emplace_back(JsonText(item));
  }
  *out = std::move(strings);
  return absl::OkStatus();
}

absl::Status JsonObject::Read(absl::string_view name,
                              std::map<std::string, std::string>* out) const {
  const JsonValue* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->IsObject()) return WrongType(name, "an object of strings");
  for (const auto& member : value->GetObject()) {
    if (!member.value.IsString()) return WrongType(name, "an object of strings");
    (*out)[std::string(JsonText(member.name))] = std::string(JsonText(member.value));
  }
  return absl::OkStatus();
}

absl::Status JsonObject::ReadKeys(absl::string_view name, std::vector<std::string>* out) const {
  const JsonValue* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->IsObject()) return WrongType(name, "an object");
  for (const auto& member : value->GetObject()) out->emplace_back(JsonText(member.name));
  return absl::OkStatus();
}

}  // namespace darse::oci
