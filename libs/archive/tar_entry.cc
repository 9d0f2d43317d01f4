#include "libs/archive/tar_entry.h"

#include <string.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace darse::archive {
namespace {

constexpr int64_t kMaxOctal11 = 077777777777;
constexpr int64_t kMaxOctal7 = 07777777;

using PaxRecords = std::vector<std::pair<std::string, std::string>>;

// "<length> <key>=<value>\n", where the length counts its own digits.
std::string PaxRecord(absl::string_view key, absl::string_view value) {
  size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (absl::StrCat(length).size() + rest != length) length = absl::StrCat(length).size() + rest;
  return absl::StrCat(length, " ", key, "=", value, "\n");
}

char TypeFlag(EntryType type) {
  switch (type) {
    case EntryType::kFile:
      return '0';
    case EntryType::kHardLink:
      return '1';
    case EntryType::kSymlink:
      return '2';
    case EntryType::kCharDevice:
      return '3';
    case EntryType::kBlockDevice:
      return '4';
    case EntryType::kDirectory:
      return '5';
    case EntryType::kFifo:
      return '6';
  }
  return '0';
}

void PutText(char* field, size_t size, absl::string_view text) {
  memcpy(field, text.data(), std::min(size, text.size()));
}

void PutOctal(char* field, size_t size, int64_t value) {
  PutText(field, size, absl::StrFormat("%0*o", static_cast<int>(size) - 1, value));
}

std::string Block(const TarEntry& entry, absl::string_view name, char type, int64_t size) {
  std::string block(kTarBlock, '\0');
  char* at = block.data();
  absl::string_view prefix;
  if (name.size() > 100) {
    // ustar splits at a slash: prefix of at most 155, name of at most 100.
    size_t slash = name.rfind('/', 155);
    if (slash != absl::string_view::npos && slash > 0 && name.size() - slash - 1 <= 100 &&
        slash + 1 < name.size()) {
      prefix = name.substr(0, slash);
      name = name.substr(slash + 1);
    }
  }
  PutText(at, 100, name);
  PutOctal(at + 100, 8, entry.mode & 07777);
  PutOctal(at + 108, 8, std::min<int64_t>(entry.uid, kMaxOctal7));
  PutOctal(at + 116, 8, std::min<int64_t>(entry.gid, kMaxOctal7));
  PutOctal(at + 124, 12, std::min(size, kMaxOctal11));
  PutOctal(at + 136, 12, std::clamp<int64_t>(entry.mtime_seconds, 0, kMaxOctal11));
  at[156] = type;
  PutText(at + 157, 100, entry.link_name);
  PutText(at + 257, 8, absl::string_view("ustar\00000", 8));
  bool device = type == '3' || type == '4';
  PutOctal(at + 329, 8, device ? entry.device_major : 0);
  PutOctal(at + 337, 8, device ? entry.device_minor : 0);
  PutText(at + 345, 155, prefix);
  memset(at + 148, ' ', 8);
  unsigned sum = 0;
  for (char c : block) sum += static_cast<unsigned char>(c);
  PutText(at + 148, 8, absl::StrFormat("%06o", sum) + std::string("\0 ", 2));
  return block;
}

bool FitsName(absl::string_view name) {
  if (name.size() <= 100) return true;
  size_t slash = name.rfind('/', 155);
  return slash != absl::string_view::npos && slash > 0 && name.size() - slash - 1 <= 100 &&
         slash + 1 < name.size();
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<signed char>(c) > 0; });
}

PaxRecords PaxOf(const TarEntry& entry) {
  PaxRecords records;
  for (const auto& [key, value] : entry.xattrs) {
    records.emplace_back(absl::StrCat("SCHILY.xattr.", key), value);
  }
  if (entry.gid > kMaxOctal7) records.emplace_back("gid", absl::StrCat(entry.gid));
  if (entry.link_name.size() > 100 || !IsAscii(entry.link_name)) {
    records.emplace_back("linkpath", entry.link_name);
  }
  if (entry.mtime_nanoseconds != 0 || entry.mtime_seconds < 0 ||
      entry.mtime_seconds > kMaxOctal11) {
    int64_t seconds = entry.mtime_seconds;
    int64_t nanoseconds = entry.mtime_nanoseconds;
    std::string sign;
    if (seconds < 0) {
      sign = "-";
      seconds = -seconds;
      if (nanoseconds != 0) {
        --seconds;
        nanoseconds = 1'000'000'000 - nanoseconds;
      }
    }
    std::string fraction;
    if (nanoseconds != 0) fraction = absl::StrFormat(".%09d", nanoseconds);
    while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
    records.emplace_back("mtime", absl::StrCat(sign, seconds, fraction));
  }
  if (!FitsName(entry.name) || !IsAscii(entry.name)) records.emplace_back("path", entry.name);
  if (entry.size > kMaxOctal11) records.emplace_back("size", absl::StrCat(entry.size));
  if (entry.uid > kMaxOctal7) records.emplace_back("uid", absl::StrCat(entry.uid));
  std::sort(records.begin(), records.end());
  return records;
}

}  // namespace

std::string FormatHeader(const TarEntry& entry) {
  std::string bytes;
  PaxRecords records = PaxOf(entry);
  if (!records.empty()) {
    std::string body;
    for (const auto& [key, value] : records) absl::StrAppend(&body, PaxRecord(key, value));
    TarEntry header{.mode = 0644};
    bytes = Block(header, "PaxHeaders.0/entry", 'x', static_cast<int64_t>(body.size()));
    bytes += body;
    bytes.append(Padding(static_cast<int64_t>(body.size())), '\0');
  }
  bytes += Block(entry, entry.name, TypeFlag(entry.type), entry.size);
  return bytes;
}

}  // namespace darse::archive
