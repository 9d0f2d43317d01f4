#include "tools/darse/output/json.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "rapidjson/document.h"
#include "rapidjson/error/en.h"

namespace darse::client {
namespace {

Json FromRapid(const rapidjson::Value& value) {
  if (value.IsBool()) return value.GetBool();
  if (value.IsInt64()) return static_cast<int64_t>(value.GetInt64());
  if (value.IsNumber()) return value.GetDouble();
  if (value.IsString()) return std::string(value.GetString(), value.GetStringLength());
  if (value.IsArray()) {
    Json array = Json::Array();
    for (const rapidjson::Value& item : value.GetArray()) array.Add(FromRapid(item));
    return array;
  }
  if (value.IsObject()) {
    std::vector<Json::Member> members;
    for (const auto& member : value.GetObject()) {
      members.emplace_back(std::string(member.name.GetString(), member.name.GetStringLength()),
                           FromRapid(member.value));
    }
    return Json::Object(std::move(members));
  }
  return Json();
}

void Quote(absl::string_view text, std::string& out) {
  out += '"';
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(&out, "\\u%04x", c);
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void NewLine(std::string& out, int indent) {
  if (indent >= 0) absl::StrAppend(&out, "\n", std::string(indent * 4, ' '));
}

}  // namespace

Json Json::Array() {
  Json json;
  json.value_ = std::vector<Json>();
  return json;
}

Json Json::Array(const std::vector<std::string>& texts) {
  Json json = Array();
  for (const std::string& text : texts) json.Add(text);
  return json;
}

Json Json::Object() { return Object({}); }

Json Json::Object(std::vector<Member> members) {
  Json json;
  json.value_ = std::move(members);
  return json;
}

absl::StatusOr<Json> Json::Parse(absl::string_view text) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(text.data(), text.size());
  if (document.HasParseError()) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON, byte ", document.GetErrorOffset(), ": ",
                     rapidjson::GetParseError_En(document.GetParseError())));
  }
  return FromRapid(document);
}

const std::vector<Json>& Json::items() const {
  static const std::vector<Json>* const kNone = new std::vector<Json>();
  const auto* items = std::get_if<std::vector<Json>>(&value_);
  return items ? *items : *kNone;
}

const std::vector<Json::Member>& Json::members() const {
  static const std::vector<Member>* const kNone = new std::vector<Member>();
  const auto* members = std::get_if<std::vector<Member>>(&value_);
  return members ? *members : *kNone;
}

const Json* Json::Find(absl::string_view name) const {
  for (const Member& member : members()) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

std::string Json::TextOf(absl::string_view name) const {
  const Json* found = Find(name);
  return found && found->is_text() ? found->Plain() : std::string();
}

std::vector<std::string> Json::TextsOf(absl::string_view name) const {
  std::vector<std::string> texts;
  if (const Json* found = Find(name)) {
    for (const Json& item : found->items()) {
      if (item.is_text()) texts.push_back(item.Plain());
    }
  }
  return texts;
}

void Json::Add(Json item) {
  if (!is_array()) value_ = std::vector<Json>();
  std::get<std::vector<Json>>(value_).push_back(std::move(item));
}

void Json::Set(absl::string_view name, Json value) {
  if (!is_object()) value_ = std::vector<Member>();
  auto& members = std::get<std::vector<Member>>(value_);
  for (Member& member : members) {
    if (member.first == name) {
      member.second = std::move(value);
      return;
    }
  }
  members.emplace_back(std::string(name), std::move(value));
}

// `indent` is the depth, or -1 for everything on one line.
void Json::Write(std::string& out, int indent) const {
  const int inner = indent < 0 ? -1 : indent + 1;
  if (const bool* value = std::get_if<bool>(&value_)) {
    out += *value ? "true" : "false";
  } else if (const int64_t* value = std::get_if<int64_t>(&value_)) {
    absl::StrAppend(&out, *value);
  } else if (const double* value = std::get_if<double>(&value_)) {
    // JSON knows neither infinity nor NaN.
    out += std::isfinite(*value) ? absl::StrFormat("%.10g", *value) : "null";
  } else if (const std::string* value = std::get_if<std::string>(&value_)) {
    Quote(*value, out);
  } else if (is_array()) {
    out += '[';
    bool first = true;
    for (const Json& item : items()) {
      if (!first) out += ',';
      first = false;
      NewLine(out, inner);
      item.Write(out, inner);
    }
    if (!first) NewLine(out, indent);
    out += ']';
  } else if (is_object()) {
    out += '{';
    bool first = true;
    for (const Member& member : members()) {
      if (!first) out += ',';
      first = false;
      NewLine(out, inner);
      Quote(member.first, out);
      out += indent < 0 ? ":" : ": ";
      member.second.Write(out, inner);
    }
    if (!first) NewLine(out, indent);
    out += '}';
  } else {
    out += "null";
  }
}

std::string Json::Compact() const {
  std::string out;
  Write(out, -1);
  return out;
}

std::string Json::Indented() const {
  std::string out;
  Write(out, 0);
  return out;
}

std::string Json::Plain() const {
  if (const std::string* text = std::get_if<std::string>(&value_)) return *text;
  return is_null() ? "<nil>" : Compact();
}

bool Json::IsEmpty() const {
  if (const bool* value = std::get_if<bool>(&value_)) return !*value;
  if (const int64_t* value = std::get_if<int64_t>(&value_)) return *value == 0;
  if (const double* value = std::get_if<double>(&value_)) return *value == 0;
  if (const std::string* value = std::get_if<std::string>(&value_)) return value->empty();
  return items().empty() && members().empty();
}

}  // namespace darse::client
