#include "libs/yaml/node.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace darse::yaml {

std::string Position::FileAndLine() const {
  return absl::StrCat(file == nullptr ? "" : *file, ":", line);
}

std::string Position::ToString() const { return absl::StrCat(FileAndLine(), ":", column); }

bool Node::IsNull() const {
  return IsScalar() && plain && tag != "!!str" &&
         (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
}

std::optional<bool> Node::AsBool() const {
  if (!IsScalar() || !plain || tag == "!!str") return std::nullopt;
  for (const char* word : {"true", "yes", "on", "y"}) {
    if (absl::EqualsIgnoreCase(text, word)) return true;
  }
  for (const char* word : {"false", "no", "off", "n"}) {
    if (absl::EqualsIgnoreCase(text, word)) return false;
  }
  return std::nullopt;
}

std::optional<int64_t> Node::AsInt() const {
  if (!IsScalar()) return std::nullopt;
  int64_t value = 0;
  if (absl::StartsWith(text, "0x")) {
    if (!absl::SimpleHexAtoi(text, &value)) return std::nullopt;
    return value;
  }
  if (absl::StartsWith(text, "0o")) {
    value = 0;
    for (char c : absl::StripPrefix(text, "0o")) {
      if (c < '0' || c > '7' || value > (INT64_MAX >> 3)) return std::nullopt;
      value = value * 8 + (c - '0');
    }
    return value;
  }
  if (!absl::SimpleAtoi(text, &value)) return std::nullopt;
  return value;
}

std::optional<double> Node::AsDouble() const {
  double value = 0;
  if (!IsScalar() || !absl::SimpleAtod(text, &value) || !std::isfinite(value)) return std::nullopt;
  return value;
}

const Node* Node::Find(absl::string_view key) const {
  if (!IsMapping()) return nullptr;
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

Node* Node::Find(absl::string_view key) {
  return const_cast<Node*>(static_cast<const Node*>(this)->Find(key));
}

}  // namespace darse::yaml
