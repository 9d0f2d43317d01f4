#include "libs/compose/merge.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace darse::compose {
namespace {

using yaml::Entry;
using yaml::Kind;
using yaml::Node;

constexpr char kReset[] = "!reset";
constexpr char kOverride[] = "!override";

using Path = std::vector<std::string>;

// How values at a path merge. Paths have "*" where a name stands.
enum class Rule {
  kDeep,      // mappings by key, lists appended, scalars replaced
  kReplace,   // whatever it is
  kPairs,     // "k=v" lists are mappings
  kNames,     // lists of names are mappings to null
  kByTarget,  // lists whose entries are told apart by the path inside the container
};

Rule RuleOf(const Path& path) {
  static const auto* const kReplaced = new std::set<std::string>{
      "services.*.command", "services.*.entrypoint", "services.*.healthcheck.test",
      "services.*.image", "networks.*.ipam.config"};
  static const auto* const kPaired = new std::set<std::string>{
      "services.*.environment",  "services.*.labels",  "services.*.build.args",
      "services.*.build.labels", "services.*.sysctls", "services.*.extra_hosts",
      "networks.*.labels",       "volumes.*.labels"};
  static const auto* const kNamed =
      new std::set<std::string>{"services.*.depends_on", "services.*.networks"};
  static const auto* const kTargeted =
      new std::set<std::string>{"services.*.volumes", "services.*.devices", "services.*.tmpfs"};
  Path pattern = path;
  if (pattern.size() > 1) pattern[1].assign(1, '*');
  const std::string joined = absl::StrJoin(pattern, ".");
  if (kReplaced->contains(joined)) return Rule::kReplace;
  if (kPaired->contains(joined)) return Rule::kPairs;
  if (kNamed->contains(joined)) return Rule::kNames;
  if (kTargeted->contains(joined)) return Rule::kByTarget;
  return Rule::kDeep;
}

// A list of "k=v" (or of names) as a mapping; anything else stays.
void MakeMapping(Node& node, Rule rule, bool colon_too) {
  if (!node.IsSequence()) return;
  std::vector<Entry> entries;
  for (Node& item : node.items) {
    if (!item.IsScalar()) return;
    Entry entry{.position = item.position, .value = item};
    size_t cut = rule == Rule::kPairs ? item.text.find('=') : std::string::npos;
    if (cut == std::string::npos && colon_too) cut = item.text.find(':');
    entry.key = item.text.substr(0, cut);
    entry.value.text = cut == std::string::npos ? "" : item.text.substr(cut + 1);
    entry.value.plain = cut == std::string::npos;
    entries.push_back(std::move(entry));
  }
  node.kind = Kind::kMapping;
  node.items.clear();
  node.entries.clear();
  // A later line of the same name wins.
  for (Entry& entry : entries) {
    if (Node* before = node.Find(entry.key)) {
      *before = std::move(entry.value);
    } else {
      node.entries.push_back(std::move(entry));
    }
  }
}

// "./a:/b:ro" -> "/b"; long syntax -> its target.
std::string TargetOf(const Node& item) {
  if (item.IsMapping()) {
    const Node* target = item.Find("target");
    return target == nullptr ? "" : target->text;
  }
  const std::vector<std::string> parts = absl::StrSplit(item.text, ':');
  // A tmpfs has options, not a target, behind the first colon.
  return parts.size() > 1 && absl::StartsWith(parts[1], "/") ? parts[1] : parts[0];
}

bool Same(const Node& a, const Node& b) {
  if (a.kind != b.kind || a.text != b.text || a.items.size() != b.items.size() ||
      a.entries.size() != b.entries.size()) {
    return false;
  }
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!Same(a.items[i], b.items[i])) return false;
  }
  for (size_t i = 0; i < a.entries.size(); ++i) {
    if (a.entries[i].key != b.entries[i].key || !Same(a.entries[i].value, b.entries[i].value))
      return false;
  }
  return true;
}

void MakeList(Node& node) {
  if (!node.IsScalar() || node.IsNull()) return;
  Node list{.kind = Kind::kSequence, .position = node.position};
  list.items.push_back(std::move(node));
  node = std::move(list);
}

void AppendItems(Node& base, Node& over, bool by_target) {
  for (Node& item : over.items) {
    Node* same = nullptr;
    for (Node& before : base.items) {
      if (by_target ? TargetOf(before) == TargetOf(item) : Same(before, item)) same = &before;
    }
    if (same != nullptr) {
      *same = std::move(item);
    } else {
      base.items.push_back(std::move(item));
    }
  }
}

void Merge(Node& base, Node over, const Path& path);

void MergeEntries(Node& base, Node& over, const Path& path) {
  for (Entry& entry : over.entries) {
    Node* before = base.Find(entry.key);
    if (before == nullptr) {
      base.entries.push_back(std::move(entry));
      continue;
    }
    Path inner = path;
    inner.push_back(entry.key);
    Merge(*before, std::move(entry.value), inner);
  }
}

void Merge(Node& base, Node over, const Path& path) {
  if (over.tag == kReset || over.tag == kOverride) {
    base = std::move(over);
    return;
  }
  const Rule rule = RuleOf(path);
  const bool colon_too = !path.empty() && path.back() == "extra_hosts";
  if (rule == Rule::kPairs || rule == Rule::kNames) {
    MakeMapping(base, rule, colon_too);
    MakeMapping(over, rule, colon_too);
  }
  // `build: .` is a mapping with a context.
  if (path.size() == 3 && path[0] == "services" && path[2] == "build" && base.IsScalar() &&
      over.IsMapping()) {
    Node mapping{.kind = Kind::kMapping, .position = base.position};
    mapping.entries.push_back({"context", base.position, std::move(base)});
    base = std::move(mapping);
  }
  if (path.size() == 3 && path[0] == "services" && path[2] == "build" && base.IsMapping() &&
      over.IsScalar()) {
    Node mapping{.kind = Kind::kMapping, .position = over.position};
    mapping.entries.push_back({"context", over.position, std::move(over)});
    over = std::move(mapping);
  }
  if (rule != Rule::kReplace && base.IsMapping() && over.IsMapping()) {
    MergeEntries(base, over, path);
    return;
  }
  if (rule != Rule::kReplace && (base.IsSequence() || over.IsSequence())) {
    // `env_file: a` and `env_file: [b]`.
    MakeList(base);
    MakeList(over);
    if (base.IsSequence() && over.IsSequence()) {
      AppendItems(base, over, rule == Rule::kByTarget);
      return;
    }
  }
  base = std::move(over);
}

}  // namespace

void MergeFiles(Node& base, Node over) {
  Merge(base, std::move(over), {});
  DropTags(base);
}

void DropTags(Node& node) {
  if (node.tag == kOverride) node.tag.clear();
  std::vector<Entry> kept;
  for (Entry& entry : node.entries) {
    if (entry.value.tag == kReset) continue;
    DropTags(entry.value);
    kept.push_back(std::move(entry));
  }
  node.entries = std::move(kept);
  for (Node& item : node.items) DropTags(item);
}

}  // namespace darse::compose
