// Reading JSON that strangers wrote: strict syntax, valid UTF-8, no recursion, and a type error
// names the member. Included by the .cc files of this library only.
#pragma once

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::oci {

using JsonValue = rapidjson::Value;

// INVALID_ARGUMENT unless `text` is one JSON value of at most `max_bytes`; `what` names it in the
// message.
absl::StatusOr<rapidjson::Document> ParseJson(absl::string_view text, absl::string_view what,
                                              size_t max_bytes);

// The members of one object, read by name. A member that is absent or null leaves `out` as it is;
// one of another type is INVALID_ARGUMENT and names it.
class JsonObject {
 public:
  static absl::StatusOr<JsonObject> From(const JsonValue& value, absl::string_view what);

  const JsonValue* Find(absl::string_view name) const;
  absl::Status Read(absl::string_view name, std::string* out) const;
  absl::Status Read(absl::string_view name, bool* out) const;
  absl::Status Read(absl::string_view name, int64_t* out) const;
  absl::Status Read(absl::string_view name, std::vector<std::string>* out) const;
  absl::Status Read(absl::string_view name, std::map<std::string, std::string>* out) const;
  // The names in an object used as a set: {"80/tcp": {}}.
  absl::Status ReadKeys(absl::string_view name, std::vector<std::string>* out) const;
  absl::Status WrongType(absl::string_view name, absl::string_view wanted) const;

 private:
  JsonObject(const JsonValue& value, absl::string_view what) : value_(&value), what_(what) {}
  const JsonValue* value_;
  std::string what_;
};

inline absl::string_view JsonText(const JsonValue& value) {
  return absl::string_view(value.GetString(), value.GetStringLength());
}

}  // namespace darse::oci
