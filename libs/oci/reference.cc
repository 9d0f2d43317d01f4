#include "libs/oci/reference.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace darse::oci {
namespace {

constexpr absl::string_view kDefaultRegistry = "docker.io";
constexpr absl::string_view kOfficial = "library/";
constexpr size_t kMaxNameLength = 255;

bool IsLowerAlnum(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

// [a-z0-9]+ joined by one of: "." | "_" | "__" | "-"+
bool IsPathComponent(absl::string_view part) {
  if (part.empty() || !IsLowerAlnum(part.front()) || !IsLowerAlnum(part.back())) return false;
  for (size_t i = 0; i < part.size();) {
    if (IsLowerAlnum(part[i])) {
      ++i;
      continue;
    }
    size_t start = i;
    while (i < part.size() && !IsLowerAlnum(part[i])) ++i;
    absl::string_view separator = part.substr(start, i - start);
    bool dashes = separator.find_first_not_of('-') == absl::string_view::npos;
    if (!dashes && separator != "." && separator != "_" && separator != "__") return false;
  }
  return true;
}

// Host names, IPv4, [IPv6], each with an optional port.
bool IsRegistry(absl::string_view text) {
  absl::string_view host = text;
  if (absl::StartsWith(text, "[")) {
    size_t end = text.find(']');
    if (end == absl::string_view::npos || end == 1) return false;
    host = text.substr(end + 1);
    for (char c : text.substr(1, end - 1)) {
      if (!absl::ascii_isxdigit(c) && c != ':') return false;
    }
    if (host.empty()) return true;
    if (host.front() != ':') return false;
  }
  std::vector<absl::string_view> parts = absl::StrSplit(host, ':');
  if (parts.size() > 2) return false;
  if (parts.size() == 2) {
    if (parts[1].empty() || parts[1].size() > 5) return false;
    for (char c : parts[1]) {
      if (!absl::ascii_isdigit(c)) return false;
    }
  }
  if (absl::StartsWith(text, "[")) return true;
  for (absl::string_view label : absl::StrSplit(parts[0], '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    for (char c : label) {
      if (!absl::ascii_isalnum(c) && c != '-') return false;
    }
  }
  return true;
}

bool IsTag(absl::string_view tag) {
  if (tag.empty() || tag.size() > 128 || tag.front() == '.' || tag.front() == '-') return false;
  for (char c : tag) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

bool LooksLikeId(absl::string_view text) {
  if (text.size() != 64) return false;
  for (char c : text) {
    if (!absl::ascii_isdigit(c) && (c < 'a' || c > 'f')) return false;
  }
  return true;
}

absl::Status Malformed(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("image reference \"", absl::CHexEscape(text.substr(0, 300)), "\": ", why));
}

}  // namespace

absl::StatusOr<Reference> Reference::Parse(absl::string_view text) {
  Reference reference;
  absl::string_view rest = text;
  if (LooksLikeId(text)) return Malformed(text, "64 hex digits are an id, not a name");
  if (size_t at = rest.find('@'); at != absl::string_view::npos) {
    absl::StatusOr<Digest> digest = Digest::Parse(rest.substr(at + 1));
    if (!digest.ok()) return Malformed(text, digest.status().message());
    reference.digest = *std::move(digest);
    rest = rest.substr(0, at);
  }
  size_t slash = rest.rfind('/');
  size_t colon = rest.rfind(':');
  if (colon != absl::string_view::npos && (slash == absl::string_view::npos || colon > slash)) {
    reference.tag = std::string(rest.substr(colon + 1));
    if (!IsTag(reference.tag)) {
      return Malformed(text, "a tag is at most 128 letters, digits, _ . and -");
    }
    rest = rest.substr(0, colon);
  } else if (!reference.digest) {
    reference.tag = "latest";
  }
  if (rest.empty()) return Malformed(text, "no name");

  size_t first = rest.find('/');
  absl::string_view head = rest.substr(0, first == absl::string_view::npos ? 0 : first);
  bool has_registry = !head.empty() && (absl::StrContains(head, '.') ||
                                        absl::StrContains(head, ':') || head == "localhost");
  for (char c : head) has_registry |= absl::ascii_isupper(c);
  if (has_registry) {
    if (!IsRegistry(head)) return Malformed(text, "malformed registry host");
    reference.registry = std::string(head);
    rest = rest.substr(first + 1);
  } else {
    reference.registry = std::string(kDefaultRegistry);
  }
  if (reference.registry == "index.docker.io") reference.registry = std::string(kDefaultRegistry);
  for (absl::string_view part : absl::StrSplit(rest, '/')) {
    for (char c : part) {
      if (absl::ascii_isupper(c)) return Malformed(text, "a name must be lower case");
    }
    if (!IsPathComponent(part)) return Malformed(text, "malformed name");
  }
  reference.repository = std::string(rest);
  if (reference.registry == kDefaultRegistry && !absl::StrContains(rest, '/')) {
    reference.repository = absl::StrCat(kOfficial, rest);
  }
  if (reference.registry.size() + 1 + reference.repository.size() > kMaxNameLength) {
    return Malformed(text.substr(0, 60), "a name has at most 255 characters");
  }
  return reference;
}

std::string Reference::Full() const {
  return absl::StrCat(registry, "/", repository, tag.empty() ? "" : ":", tag, digest ? "@" : "",
                      digest ? digest->text() : "");
}

std::string Reference::Familiar() const {
  std::string full = Full();
  absl::string_view text = full;
  if (registry == kDefaultRegistry) {
    text.remove_prefix(kDefaultRegistry.size() + 1);
    absl::string_view short_name = absl::StripPrefix(repository, kOfficial);
    if (!absl::StrContains(short_name, '/')) text = absl::StripPrefix(text, kOfficial);
  }
  return std::string(text);
}

}  // namespace darse::oci
