// Reading typed values out of a tree: what is wrong is added to the errors, and reading goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/compose/errors.h"
#include "libs/yaml/node.h"

namespace darse::compose {

// A value and where it stands: "services.web.ports[0]". Points into a tree that outlives it.
struct At {
  const yaml::Node* node;
  std::string path;

  At Key(const yaml::Entry& entry) const;
  At Item(size_t index) const;
};

// A name and its value; nullopt where a list has "NAME" alone or a mapping has null.
struct Pair {
  std::string key;
  std::optional<std::string> value;
  yaml::Position position;
};

// One thread only.
class Values {
 public:
  explicit Values(Errors& errors) : errors_(errors) {}

  void Refuse(const At& at, absl::string_view why) { errors_.Add(at.node->position, at.path, why); }

  // Empty after an error, in each of these.
  std::optional<std::string> Text(const At& at);
  std::optional<bool> Bool(const At& at);
  std::optional<int64_t> Int(const At& at, int64_t least, int64_t most);
  std::optional<int64_t> Bytes(const At& at);
  std::optional<int64_t> NanoCpus(const At& at);
  std::optional<absl::Duration> Duration(const At& at);
  // One text or a list of texts.
  std::vector<std::string> Texts(const At& at);
  // A list of texts, or one text split as a shell does; nullopt for null.
  std::optional<std::vector<std::string>> Words(const At& at);
  // A mapping, or a list of "KEY=VALUE" (and "KEY:VALUE" with `colon_too`).
  std::vector<Pair> Pairs(const At& at, bool colon_too = false);

  using Handler = std::function<void(const At&)>;
  // Calls the handler of each key; "x-…" and null values are passed over, other keys are refused.
  void Keys(const At& at, const std::map<std::string, Handler>& handlers);

 private:
  Errors& errors_;
};

}  // namespace darse::compose
