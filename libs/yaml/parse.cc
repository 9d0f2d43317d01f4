// libfyaml's events become nodes here; no other file knows libfyaml.
#include <libfyaml.h>

#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/yaml/node.h"

namespace darse::yaml {
namespace {

constexpr char kMergeKey[] = "<<";

std::string TokenText(fy_token* token) {
  if (token == nullptr) return "";
  size_t length = 0;
  const char* text = fy_token_get_text(token, &length);
  return text == nullptr ? "" : std::string(text, length);
}

// "tag:yaml.org,2002:str" -> "!!str"; "!reset" stays.
std::string TagText(fy_token* token) {
  if (token == nullptr) return "";
  size_t handle_length = 0;
  size_t suffix_length = 0;
  const char* handle = fy_tag_token_handle(token, &handle_length);
  const char* suffix = fy_tag_token_suffix(token, &suffix_length);
  return absl::StrCat(handle == nullptr ? "" : absl::string_view(handle, handle_length),
                      suffix == nullptr ? "" : absl::string_view(suffix, suffix_length));
}

struct Size {
  size_t nodes = 0;
  size_t bytes = 0;
  int depth = 1;
};

struct Anchor {
  // False while the node that carries it is not finished.
  bool done = false;
  Node node;
  Size size;
};

// One thread only, one document.
class Reader {
 public:
  Reader(fy_parser* parser, fy_diag* diag, std::shared_ptr<const std::string> file,
         const Limits& limits)
      : parser_(parser), diag_(diag), file_(std::move(file)), limits_(limits) {}
  ~Reader() { fy_parser_event_free(parser_, event_); }

  absl::StatusOr<Node> ReadStream() {
    RETURN_IF_ERROR(Advance());
    if (event_ != nullptr && event_->type == FYET_STREAM_START) RETURN_IF_ERROR(Advance());
    if (event_ == nullptr || event_->type == FYET_STREAM_END) {
      Node empty;
      empty.position.file = file_;
      return empty;
    }
    RETURN_IF_ERROR(Expect(FYET_DOCUMENT_START));
    Size size;
    ASSIGN_OR_RETURN(Node root, ReadNode(1, size));
    RETURN_IF_ERROR(Expect(FYET_DOCUMENT_END));
    if (event_ != nullptr && event_->type != FYET_STREAM_END) {
      return Bad(Where(), "a second document in one file");
    }
    return root;
  }

 private:
  absl::Status Bad(const Position& at, absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(at.ToString(), ": ", why));
  }

  absl::Status TooMuch(const Position& at, absl::string_view why) const {
    return absl::ResourceExhaustedError(absl::StrCat(at.ToString(), ": ", why));
  }

  Position Where() const {
    Position position{.file = file_};
    const fy_mark* mark = event_ == nullptr ? nullptr : fy_event_start_mark(event_);
    if (mark != nullptr) {
      position.line = mark->line + 1;
      // The mark of an alias stands behind its asterisk.
      position.column = mark->column + (event_->type == FYET_ALIAS ? 0 : 1);
    }
    return position;
  }

  absl::Status Advance() {
    fy_parser_event_free(parser_, event_);
    event_ = fy_parser_parse(parser_);
    if (event_ == nullptr && fy_parser_get_stream_error(parser_)) return CollectedError();
    return absl::OkStatus();
  }

  absl::Status CollectedError() const {
    void* previous = nullptr;
    if (fy_diag_error* error = fy_diag_errors_iterate(diag_, &previous)) {
      return Bad({.file = file_, .line = error->line, .column = error->column}, error->msg);
    }
    return absl::InvalidArgumentError(absl::StrCat(*file_, ": not YAML"));
  }

  absl::Status Expect(fy_event_type type) {
    if (event_ == nullptr || event_->type != type) return Bad(Where(), "not YAML");
    return Advance();
  }

  absl::Status Count(Size& size, const Position& at) {
    nodes_ += size.nodes;
    bytes_ += size.bytes;
    if (nodes_ > limits_.nodes)
      return TooMuch(at, absl::StrCat("more than ", limits_.nodes, " values"));
    if (bytes_ > limits_.scalar_bytes) {
      return TooMuch(at, absl::StrCat("more than ", limits_.scalar_bytes, " bytes of text"));
    }
    return absl::OkStatus();
  }

  // Reads the node that begins at the present event and moves behind it. `size` is that of the
  // whole node.
  absl::StatusOr<Node> ReadNode(int depth, Size& size) {
    if (event_ == nullptr) return Bad(Where(), "ends in the middle");
    Node node;
    node.position = Where();
    if (depth > limits_.depth) {
      return TooMuch(node.position, absl::StrCat("nested more than ", limits_.depth, " deep"));
    }
    std::string anchor;
    size = {.nodes = 1};
    switch (event_->type) {
      case FYET_ALIAS:
        return ReadAlias(depth, size);
      case FYET_SCALAR: {
        anchor = TokenText(event_->scalar.anchor);
        node.tag = TagText(event_->scalar.tag);
        node.text = TokenText(event_->scalar.value);
        node.plain = event_->scalar.value == nullptr ||
                     fy_token_scalar_style(event_->scalar.value) == FYSS_PLAIN;
        size.bytes = node.text.size();
        RETURN_IF_ERROR(Count(size, node.position));
        RETURN_IF_ERROR(Advance());
        break;
      }
      case FYET_SEQUENCE_START: {
        anchor = TokenText(event_->sequence_start.anchor);
        node.tag = TagText(event_->sequence_start.tag);
        node.kind = Kind::kSequence;
        if (!anchor.empty()) anchors_[anchor] = {};
        RETURN_IF_ERROR(Count(size, node.position));
        RETURN_IF_ERROR(Advance());
        RETURN_IF_ERROR(ReadItems(node, depth, size));
        break;
      }
      case FYET_MAPPING_START: {
        anchor = TokenText(event_->mapping_start.anchor);
        node.tag = TagText(event_->mapping_start.tag);
        node.kind = Kind::kMapping;
        if (!anchor.empty()) anchors_[anchor] = {};
        RETURN_IF_ERROR(Count(size, node.position));
        RETURN_IF_ERROR(Advance());
        RETURN_IF_ERROR(ReadEntries(node, depth, size));
        break;
      }
      default:
        return Bad(node.position, "not YAML");
    }
    if (!anchor.empty()) anchors_[anchor] = {.done = true, .node = node, .size = size};
    return node;
  }

  absl::StatusOr<Node> ReadAlias(int depth, Size& size) {
    const Position at = Where();
    const std::string name = TokenText(event_->alias.anchor);
    const auto found = anchors_.find(name);
    if (found == anchors_.end())
      return Bad(at, absl::StrCat("alias *", name, " has no anchor before it"));
    if (!found->second.done)
      return Bad(at, absl::StrCat("alias *", name, " stands inside its own anchor"));
    size = found->second.size;
    if (depth + size.depth > limits_.depth) {
      return TooMuch(at, absl::StrCat("nested more than ", limits_.depth, " deep"));
    }
    RETURN_IF_ERROR(Count(size, at));
    RETURN_IF_ERROR(Advance());
    return found->second.node;
  }

  static void Add(Size& whole, const Size& part) {
    whole.nodes += part.nodes;
    whole.bytes += part.bytes;
    if (part.depth + 1 > whole.depth) whole.depth = part.depth + 1;
  }

  absl::Status ReadItems(Node& node, int depth, Size& size) {
    while (event_ != nullptr && event_->type != FYET_SEQUENCE_END) {
      Size part;
      ASSIGN_OR_RETURN(Node item, ReadNode(depth + 1, part));
      Add(size, part);
      node.items.push_back(std::move(item));
    }
    return Expect(FYET_SEQUENCE_END);
  }

  absl::Status ReadEntries(Node& node, int depth, Size& size) {
    // Where keys that were written out stand; those that a merge brought are not among them.
    std::map<std::string, Position> written;
    std::vector<Node> merged;
    while (event_ != nullptr && event_->type != FYET_MAPPING_END) {
      const Position key_position = Where();
      Size part;
      ASSIGN_OR_RETURN(Node key, ReadNode(depth + 1, part));
      if (!key.IsScalar()) return Bad(key_position, "a key must be a plain word or a string");
      Add(size, part);
      ASSIGN_OR_RETURN(Node value, ReadNode(depth + 1, part));
      Add(size, part);
      if (key.text == kMergeKey && key.plain) {
        RETURN_IF_ERROR(CollectMerge(value, merged));
        continue;
      }
      const auto [before, is_new] = written.emplace(key.text, key_position);
      if (!is_new) {
        return Bad(key_position,
                   absl::StrCat("key \"", key.text, "\" is already on line ", before->second.line));
      }
      node.entries.push_back({key.text, key_position, std::move(value)});
    }
    RETURN_IF_ERROR(Expect(FYET_MAPPING_END));
    Merge(node, merged);
    return absl::OkStatus();
  }

  absl::Status CollectMerge(Node& value, std::vector<Node>& merged) const {
    if (value.IsMapping()) {
      merged.push_back(std::move(value));
      return absl::OkStatus();
    }
    if (!value.IsSequence())
      return Bad(value.position, "\"<<\" takes a mapping or a list of mappings");
    for (Node& item : value.items) {
      if (!item.IsMapping())
        return Bad(item.position, "\"<<\" takes a mapping or a list of mappings");
      merged.push_back(std::move(item));
    }
    return absl::OkStatus();
  }

  // Keys written out win over merged ones, earlier merges over later ones.
  static void Merge(Node& node, std::vector<Node>& merged) {
    absl::flat_hash_set<std::string> keys;
    for (const Entry& entry : node.entries) keys.insert(entry.key);
    for (Node& from : merged) {
      for (Entry& entry : from.entries) {
        if (keys.insert(entry.key).second) node.entries.push_back(std::move(entry));
      }
    }
  }

  fy_parser* parser_;
  fy_diag* diag_;
  std::shared_ptr<const std::string> file_;
  const Limits& limits_;
  fy_event* event_ = nullptr;
  size_t nodes_ = 0;
  size_t bytes_ = 0;
  std::map<std::string, Anchor> anchors_;
};

}  // namespace

absl::StatusOr<Node> Parse(absl::string_view text, absl::string_view file, const Limits& limits) {
  if (text.size() > limits.text_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(file, ": larger than ", limits.text_bytes, " bytes"));
  }
  if (absl::StrContains(text, '\0'))
    return absl::InvalidArgumentError(absl::StrCat(file, ": a zero byte"));
  // Nobody needs "%YAML" and "%TAG", and libfyaml never comes back from some broken ones.
  if (absl::StartsWith(text, "%") || absl::StrContains(text, "\n%")) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": a line that begins with \"%\""));
  }
  fy_diag_cfg diag_cfg;
  fy_diag_cfg_default(&diag_cfg);
  diag_cfg.fp = nullptr;
  diag_cfg.colorize = false;
  fy_diag* diag = fy_diag_create(&diag_cfg);
  if (diag == nullptr) return absl::ResourceExhaustedError("out of memory");
  fy_diag_set_collect_errors(diag, true);
  fy_parse_cfg cfg = {};
  cfg.search_path = "";
  cfg.flags = static_cast<fy_parse_cfg_flags>(FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 |
                                              FYPCF_ALLOW_DUPLICATE_KEYS);
  cfg.diag = diag;
  fy_parser* parser = fy_parser_create(&cfg);
  absl::StatusOr<Node> node = absl::ResourceExhaustedError("out of memory");
  if (parser != nullptr && fy_parser_set_string(parser, text.data(), text.size()) == 0) {
    Reader reader(parser, diag, std::make_shared<const std::string>(file), limits);
    node = reader.ReadStream();
  }
  if (parser != nullptr) fy_parser_destroy(parser);
  fy_diag_destroy(diag);
  return node;
}

}  // namespace darse::yaml
