// Reads a JSON object field by field and keeps the first thing that is wrong, with its path, so
// that the parsing reads as a list of fields.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "rapidjson/document.h"

namespace darse::container {

// One thread only. `status` and the document outlive it.
class JsonFields {
 public:
  using Value = rapidjson::Value;

  JsonFields(const Value* object, std::string path, absl::Status& status)
      : object_(object), path_(std::move(path)), status_(status) {
    if (object_ != nullptr && !object_->IsObject()) {
      Fail("", "not an object");
      object_ = nullptr;
    }
  }

  bool Has(const char* key) const { return Find(key) != nullptr; }
  bool present() const { return object_ != nullptr; }

  JsonFields Object(const char* key) const { return JsonFields(Find(key), Path(key), status_); }

  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    if (object_ == nullptr) return keys;
    for (const auto& member : object_->GetObject()) {
      if (!member.value.IsNull()) keys.emplace_back(member.name.GetString());
    }
    return keys;
  }

  // fn(JsonFields) for each object of a list.
  template <typename Fn>
  void Objects(const char* key, Fn fn) const {
    const Value* list = Array(key);
    for (unsigned i = 0; list != nullptr && i < list->Size() && status_.ok(); ++i) {
      fn(JsonFields(&(*list)[i], absl::StrCat(Path(key), "[", i, "]"), status_));
    }
  }

  void Text(const char* key, std::string& into) const {
    const Value* value = Find(key);
    if (value == nullptr) return;
    if (!value->IsString()) return Fail(key, "not a string");
    into.assign(value->GetString(), value->GetStringLength());
    if (into.find('\0') != std::string::npos) Fail(key, "contains a zero byte");
  }
  std::string Text(const char* key) const {
    std::string text;
    Text(key, text);
    return text;
  }

  void Bool(const char* key, bool& into) const {
    const Value* value = Find(key);
    if (value == nullptr) return;
    if (!value->IsBool()) return Fail(key, "not true or false");
    into = value->GetBool();
  }

  template <typename T>
  void Number(const char* key, T& into) const {
    const Value* value = Find(key);
    if (value == nullptr) return;
    bool fits = false;
    if constexpr (std::is_unsigned_v<T>) {
      fits = value->IsUint64() && value->GetUint64() <= std::numeric_limits<T>::max();
      if (fits) into = static_cast<T>(value->GetUint64());
    } else {
      fits = value->IsInt64() && value->GetInt64() >= std::numeric_limits<T>::min() &&
             value->GetInt64() <= std::numeric_limits<T>::max();
      if (fits) into = static_cast<T>(value->GetInt64());
    }
    if (!fits) Fail(key, "not a number in range");
  }
  template <typename T>
  void Number(const char* key, std::optional<T>& into) const {
    if (!Has(key)) return;
    T number = 0;
    Number(key, number);
    into = number;
  }
  template <typename T>
  T NumberOr(const char* key, T otherwise) const {
    Number(key, otherwise);
    return otherwise;
  }

  void Strings(const char* key, std::vector<std::string>& into) const {
    const Value* list = Array(key);
    for (unsigned i = 0; list != nullptr && i < list->Size(); ++i) {
      const Value& item = (*list)[i];
      if (!item.IsString()) return Fail(key, "holds something that is not a string");
      into.emplace_back(item.GetString(), item.GetStringLength());
      if (into.back().find('\0') != std::string::npos) return Fail(key, "contains a zero byte");
    }
  }
  std::vector<std::string> Strings(const char* key) const {
    std::vector<std::string> strings;
    Strings(key, strings);
    return strings;
  }
  template <typename T>
  void Numbers(const char* key, std::vector<T>& into) const {
    const Value* list = Array(key);
    for (unsigned i = 0; list != nullptr && i < list->Size(); ++i) {
      const Value& item = (*list)[i];
      if (!item.IsUint64() || item.GetUint64() > std::numeric_limits<T>::max()) {
        return Fail(key, "holds something that is not a number in range");
      }
      into.push_back(static_cast<T>(item.GetUint64()));
    }
  }
  void StringMap(const char* key, std::map<std::string, std::string>& into) const {
    const Value* map = Find(key);
    if (map == nullptr) return;
    if (!map->IsObject()) return Fail(key, "not an object");
    for (const auto& member : map->GetObject()) {
      if (!member.value.IsString()) return Fail(key, "holds something that is not a string");
      into.emplace(std::string(member.name.GetString(), member.name.GetStringLength()),
                   std::string(member.value.GetString(), member.value.GetStringLength()));
    }
  }

  // What we know of and do not do. An empty list or object asks for nothing.
  void Unsupported(const char* key, absl::string_view why = "Darse does not do this yet") const {
    const Value* value = Find(key);
    if (value == nullptr || (value->IsObject() && value->ObjectEmpty()) ||
        (value->IsArray() && value->Empty()) ||
        (value->IsString() && value->GetStringLength() == 0)) {
      return;
    }
    if (status_.ok()) status_ = absl::UnimplementedError(absl::StrCat(Path(key), ": ", why));
  }

  void Fail(absl::string_view key, absl::string_view why) const {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(Path(key), ": ", why));
  }

  template <typename T>
  T Check(const char* key, absl::StatusOr<T> value) const {
    if (value.ok()) return *std::move(value);
    Fail(key, value.status().message());
    return T{};
  }

  // null stands for "absent" in every place of the format.
  const Value* Find(const char* key) const {
    if (object_ == nullptr) return nullptr;
    auto member = object_->FindMember(key);
    if (member == object_->MemberEnd() || member->value.IsNull()) return nullptr;
    return &member->value;
  }

  std::string Path(absl::string_view key) const {
    if (path_.empty()) return std::string(key);
    return key.empty() ? path_ : absl::StrCat(path_, ".", key);
  }

 private:
  const Value* Array(const char* key) const {
    const Value* value = Find(key);
    if (value == nullptr) return nullptr;
    if (!value->IsArray()) {
      Fail(key, "not a list");
      return nullptr;
    }
    return value;
  }

  const Value* object_;
  std::string path_;
  absl::Status& status_;
};

}  // namespace darse::container
