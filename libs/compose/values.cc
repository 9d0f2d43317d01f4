#include "libs/compose/values.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/compose/units.h"

namespace darse::compose {

At At::Key(const yaml::Entry& entry) const {
  return {&entry.value, path.empty() ? entry.key : absl::StrCat(path, ".", entry.key)};
}

At At::Item(size_t index) const {
  return {&node->items[index], absl::StrCat(path, "[", index, "]")};
}

std::optional<std::string> Values::Text(const At& at) {
  if (at.node->IsScalar()) return at.node->text;
  Refuse(at, "must be a text");
  return std::nullopt;
}

std::optional<bool> Values::Bool(const At& at) {
  if (std::optional<bool> value = at.node->AsBool()) return value;
  // After interpolation a quoted "${X:-true}" is a text.
  if (at.node->IsScalar() && at.node->text == "true") return true;
  if (at.node->IsScalar() && at.node->text == "false") return false;
  Refuse(at, "must be true or false");
  return std::nullopt;
}

std::optional<int64_t> Values::Int(const At& at, int64_t least, int64_t most) {
  const std::optional<int64_t> value = at.node->AsInt();
  if (value && *value >= least && *value <= most) return value;
  Refuse(at, absl::StrCat("must be a whole number from ", least, " to ", most));
  return std::nullopt;
}

std::optional<int64_t> Values::Bytes(const At& at) {
  std::optional<int64_t> value;
  if (at.node->IsScalar()) value = ParseBytes(at.node->text);
  if (!value) Refuse(at, "must be a size such as 512m or 2g");
  return value;
}

std::optional<int64_t> Values::NanoCpus(const At& at) {
  std::optional<int64_t> value;
  if (at.node->IsScalar()) value = ParseNanoCpus(at.node->text);
  if (!value) Refuse(at, "must be a number of cores such as 0.5");
  return value;
}

std::optional<absl::Duration> Values::Duration(const At& at) {
  std::optional<absl::Duration> value;
  if (at.node->IsScalar()) value = ParseDuration(at.node->text);
  if (!value) Refuse(at, "must be a time such as 30s or 1m30s");
  return value;
}

std::vector<std::string> Values::Texts(const At& at) {
  std::vector<std::string> texts;
  if (at.node->IsScalar()) return {at.node->text};
  if (!at.node->IsSequence()) {
    Refuse(at, "must be a text or a list of texts");
    return texts;
  }
  for (size_t i = 0; i < at.node->items.size(); ++i) {
    if (std::optional<std::string> text = Text(at.Item(i))) texts.push_back(*std::move(text));
  }
  return texts;
}

std::optional<std::vector<std::string>> Values::Words(const At& at) {
  if (at.node->IsNull()) return std::nullopt;
  if (!at.node->IsScalar()) return Texts(at);
  absl::StatusOr<std::vector<std::string>> words = SplitWords(at.node->text);
  if (words.ok()) return *std::move(words);
  Refuse(at, words.status().message());
  return std::nullopt;
}

std::vector<Pair> Values::Pairs(const At& at, bool colon_too) {
  std::vector<Pair> pairs;
  if (at.node->IsMapping()) {
    for (const yaml::Entry& entry : at.node->entries) {
      if (!entry.value.IsScalar()) {
        Refuse(at.Key(entry), "must be a text");
      } else if (entry.value.IsNull()) {
        pairs.push_back({entry.key, std::nullopt, entry.position});
      } else {
        pairs.push_back({entry.key, entry.value.text, entry.position});
      }
    }
  } else if (at.node->IsSequence()) {
    for (size_t i = 0; i < at.node->items.size(); ++i) {
      const std::optional<std::string> text = Text(at.Item(i));
      if (!text) continue;
      size_t cut = text->find('=');
      if (cut == std::string::npos && colon_too) cut = text->find(':');
      Pair pair{text->substr(0, cut), std::nullopt, at.node->items[i].position};
      if (cut != std::string::npos) pair.value = text->substr(cut + 1);
      pairs.push_back(std::move(pair));
    }
  } else {
    Refuse(at, "must be a mapping or a list of KEY=VALUE");
  }
  for (const Pair& pair : pairs) {
    if (pair.key.empty()) errors_.Add(pair.position, at.path, "a name is missing before \"=\"");
  }
  pairs.erase(
      std::remove_if(pairs.begin(), pairs.end(), [](const Pair& pair) { return pair.key.empty(); }),
      pairs.end());
  return pairs;
}

void Values::Keys(const At& at, const std::map<std::string, Handler>& handlers) {
  if (!at.node->IsMapping()) {
    Refuse(at, "must be a mapping");
    return;
  }
  for (const yaml::Entry& entry : at.node->entries) {
    if (absl::StartsWith(entry.key, "x-")) continue;
    const auto handler = handlers.find(entry.key);
    const At inner = at.Key(entry);
    if (handler == handlers.end()) {
      errors_.Add(entry.position, inner.path, "not supported yet");
    } else if (!entry.value.IsNull()) {
      handler->second(inner);
    }
  }
}

}  // namespace darse::compose
