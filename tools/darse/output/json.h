// A JSON value that keeps the order of its members: what `--format json` and `inspect` print, and
// what templates walk.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::client {

class Json {
 public:
  using Member = std::pair<std::string, Json>;

  Json() = default;  // null
  Json(bool value) : value_(value) {}
  Json(int value) : value_(int64_t{value}) {}
  Json(unsigned value) : value_(int64_t{value}) {}
  Json(int64_t value) : value_(value) {}
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(absl::string_view value) : value_(std::string(value)) {}

  static Json Array();
  static Json Array(const std::vector<std::string>& texts);
  static Json Object();
  // `members` in the order given.
  static Json Object(std::vector<Member> members);
  // INVALID_ARGUMENT with the offset of what is wrong.
  static absl::StatusOr<Json> Parse(absl::string_view text);

  bool is_null() const { return value_.index() == 0; }
  bool is_array() const { return std::holds_alternative<std::vector<Json>>(value_); }
  bool is_object() const { return std::holds_alternative<std::vector<Member>>(value_); }
  bool is_text() const { return std::holds_alternative<std::string>(value_); }

  // Empty for anything but an array, an object.
  const std::vector<Json>& items() const;
  const std::vector<Member>& members() const;
  // Null if there is no such member.
  const Json* Find(absl::string_view name) const;
  // Text of a string member; empty if there is none.
  std::string TextOf(absl::string_view name) const;
  // Texts of an array member; empty if there is none.
  std::vector<std::string> TextsOf(absl::string_view name) const;

  // Appends to an array; sets or replaces a member of an object. A null becomes an array or object
  // first.
  void Add(Json item);
  void Set(absl::string_view name, Json value);

  // On one line, or indented as `docker inspect` does.
  std::string Compact() const;
  std::string Indented() const;
  // As a template prints it: text without quotes, null as "<nil>", the rest compact.
  std::string Plain() const;
  // What a template's `if` takes for false: null, false, 0, "", [] and {}.
  bool IsEmpty() const;

 private:
  void Write(std::string& out, int indent) const;

  std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<Json>,
               std::vector<Member>>
      value_;
};

}  // namespace darse::client
