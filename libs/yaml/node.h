// A YAML document as a tree in which every node knows where it stands. Anchors, aliases and merge
// keys ("<<") are resolved already: an alias is a copy that keeps the position of what it copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::yaml {

enum class Kind { kScalar, kSequence, kMapping };

// Counted from 1, as editors do.
struct Position {
  std::shared_ptr<const std::string> file;
  int line = 1;
  int column = 1;

  // "compose.yaml:12:3".
  std::string ToString() const;
  // "compose.yaml:12".
  std::string FileAndLine() const;
};

struct Entry;

// A value: copies are deep.
struct Node {
  Kind kind = Kind::kScalar;
  // Of a scalar, unquoted and unfolded.
  std::string text;
  // A scalar without quotes: only these are null, numbers or booleans.
  bool plain = true;
  // "!reset", "!!str", …; empty if none was written.
  std::string tag;
  Position position;
  // Of a sequence.
  std::vector<Node> items;
  // Of a mapping, in the order written; keys are unique.
  std::vector<Entry> entries;

  bool IsScalar() const { return kind == Kind::kScalar; }
  bool IsSequence() const { return kind == Kind::kSequence; }
  bool IsMapping() const { return kind == Kind::kMapping; }
  // Absent value, "~" or "null".
  bool IsNull() const;
  // Of a plain scalar that reads as one (YAML 1.2 core, and 1.1's yes/no/on/off); nullopt
  // otherwise.
  std::optional<bool> AsBool() const;
  // Of a scalar that reads as one, quoted or not; nullopt otherwise or out of range.
  std::optional<int64_t> AsInt() const;
  std::optional<double> AsDouble() const;
  // nullptr if this is no mapping or has no such key.
  const Node* Find(absl::string_view key) const;
  Node* Find(absl::string_view key);
};

struct Entry {
  std::string key;
  Position position;
  Node value;
};

struct Limits {
  size_t text_bytes = 4 << 20;
  // Of the finished tree, copies by aliases counted: what a chain of aliases can blow up to.
  size_t nodes = 200'000;
  size_t scalar_bytes = 16 << 20;
  int depth = 100;
};

// The one document in `text`; an empty text is a null scalar. `file` is for positions and messages
// only. INVALID_ARGUMENT "file:line:column: why" for bad YAML, a second document, a key that is no
// scalar or appears twice, an alias to nothing or to a node that contains it; RESOURCE_EXHAUSTED
// beyond the limits.
absl::StatusOr<Node> Parse(absl::string_view text, absl::string_view file,
                           const Limits& limits = {});

}  // namespace darse::yaml
