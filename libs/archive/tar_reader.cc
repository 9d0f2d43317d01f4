#include "libs/archive/tar_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace darse::archive {
namespace {

constexpr int64_t kMaxExtension = 1 << 20;
constexpr size_t kMaxPath = 4096;
constexpr int64_t kMaxContent = int64_t{1} << 44;

absl::Status Damaged(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("tar: ", why));
}

std::string Quoted(absl::string_view name) {
  return absl::StrCat("\"", absl::CHexEscape(name.substr(0, 200)), "\"");
}

absl::string_view Field(absl::string_view header, size_t offset, size_t size) {
  return header.substr(offset, size);
}

// Up to the first NUL.
absl::string_view TextField(absl::string_view header, size_t offset, size_t size) {
  absl::string_view field = Field(header, offset, size);
  return field.substr(0, field.find('\0'));
}

// Octal with spaces and NULs around it, or GNU's base 256.
absl::StatusOr<int64_t> NumberField(absl::string_view header, size_t offset, size_t size,
                                    absl::string_view what) {
  absl::string_view field = Field(header, offset, size);
  if (static_cast<unsigned char>(field[0]) & 0x80) {
    bool negative = static_cast<unsigned char>(field[0]) & 0x40;
    int64_t value = negative ? -1 : 0;
    for (size_t i = 0; i < field.size(); ++i) {
      int byte = static_cast<unsigned char>(field[i]);
      if (i == 0) byte = negative ? byte : byte & 0x3f;
      if (value > (std::numeric_limits<int64_t>::max() >> 8) ||
          value < (std::numeric_limits<int64_t>::min() >> 8)) {
        return Damaged(absl::StrCat("the ", what, " of a member is too large"));
      }
      value = static_cast<int64_t>(static_cast<uint64_t>(value) << 8 | static_cast<uint64_t>(byte));
    }
    return value;
  }
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  int64_t value = 0;
  size_t i = 0;
  for (; i < field.size() && field[i] >= '0' && field[i] <= '7'; ++i) {
    value = value * 8 + (field[i] - '0');
  }
  for (; i < field.size(); ++i) {
    if (field[i] != ' ' && field[i] != '\0') {
      return Damaged(absl::StrCat("the ", what, " of a member is no number"));
    }
    if (field[i] == '\0') break;
  }
  return value;
}

bool ChecksumHolds(absl::string_view header) {
  absl::StatusOr<int64_t> stored = NumberField(header, 148, 8, "checksum");
  if (!stored.ok()) return false;
  int64_t unsigned_sum = 0;
  int64_t signed_sum = 0;
  for (size_t i = 0; i < header.size(); ++i) {
    char c = i >= 148 && i < 156 ? ' ' : header[i];
    unsigned_sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  return *stored == unsigned_sum || *stored == signed_sum;
}

bool AllZero(absl::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

// "1700000000.25", "-1.5"
bool ParsePaxTime(absl::string_view text, int64_t* seconds, uint32_t* nanoseconds) {
  size_t dot = text.find('.');
  absl::string_view whole = text.substr(0, dot);
  std::string fraction(dot == absl::string_view::npos ? "" : text.substr(dot + 1));
  bool negative = absl::StartsWith(whole, "-");
  if (!absl::SimpleAtoi(whole, seconds)) return false;
  if (*seconds > int64_t{1} << 40 || *seconds < -(int64_t{1} << 40)) return false;
  fraction.resize(9, '0');
  uint32_t value = 0;
  for (char c : fraction) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (negative && value != 0) {
    --*seconds;
    value = 1'000'000'000 - value;
  }
  *nanoseconds = value;
  return true;
}

absl::Status ApplyId(absl::string_view key, absl::string_view value, uint32_t* out) {
  uint64_t number;
  if (!absl::SimpleAtoi(value, &number) || number >= std::numeric_limits<uint32_t>::max()) {
    return Damaged(absl::StrCat("pax record ", key, " is no ", key));
  }
  *out = static_cast<uint32_t>(number);
  return absl::OkStatus();
}

absl::Status ApplyPax(const std::map<std::string, std::string>& records, TarEntry* entry) {
  for (const auto& [key, value] : records) {
    if (absl::StartsWith(key, "GNU.sparse.")) return Damaged("sparse members are not supported");
    if (key == "path") {
      entry->name = value;
    } else if (key == "linkpath") {
      entry->link_name = value;
    } else if (key == "uid") {
      RETURN_IF_ERROR(ApplyId(key, value, &entry->uid));
    } else if (key == "gid") {
      RETURN_IF_ERROR(ApplyId(key, value, &entry->gid));
    } else if (key == "size") {
      if (!absl::SimpleAtoi(value, &entry->size)) return Damaged("pax record size is no number");
    } else if (key == "mtime") {
      if (!ParsePaxTime(value, &entry->mtime_seconds, &entry->mtime_nanoseconds)) {
        return Damaged("pax record mtime is no time");
      }
    } else if (absl::string_view name = key; absl::ConsumePrefix(&name, "SCHILY.xattr.")) {
      entry->xattrs[std::string(name)] = value;
    }
    // The rest (names of users, access times, comments) does not matter to what is made.
  }
  return absl::OkStatus();
}

absl::Status CheckName(absl::string_view name, absl::string_view what) {
  if (name.size() > kMaxPath) return Damaged(absl::StrCat("a ", what, " over 4096 bytes"));
  if (name.find('\0') != absl::string_view::npos) {
    return Damaged(absl::StrCat("a ", what, " with a zero byte"));
  }
  return absl::OkStatus();
}

absl::StatusOr<EntryType> TypeOf(char flag, const TarEntry& entry) {
  switch (flag) {
    case '\0':
    case '0':
    case '7':
      // v7 had no flag for directories.
      return absl::EndsWith(entry.name, "/") ? EntryType::kDirectory : EntryType::kFile;
    case '1':
      return EntryType::kHardLink;
    case '2':
      return EntryType::kSymlink;
    case '3':
      return EntryType::kCharDevice;
    case '4':
      return EntryType::kBlockDevice;
    case '5':
      return EntryType::kDirectory;
    case '6':
      return EntryType::kFifo;
    case 'S':
      return Damaged(absl::StrCat("sparse members are not supported: ", Quoted(entry.name)));
    default:
      return Damaged(absl::StrCat("member ", Quoted(entry.name), " is of unknown type ",
                                  Quoted(std::string(1, flag))));
  }
}

absl::Status ReadHeader(absl::string_view header, TarEntry* entry) {
  bool ustar = absl::StartsWith(Field(header, 257, 6), absl::string_view("ustar\0", 6));
  entry->name = std::string(TextField(header, 0, 100));
  entry->link_name = std::string(TextField(header, 157, 100));
  if (ustar) {
    absl::string_view prefix = TextField(header, 345, 155);
    if (!prefix.empty()) entry->name = absl::StrCat(prefix, "/", entry->name);
  }
  ASSIGN_OR_RETURN(int64_t mode, NumberField(header, 100, 8, "mode"));
  ASSIGN_OR_RETURN(int64_t uid, NumberField(header, 108, 8, "uid"));
  ASSIGN_OR_RETURN(int64_t gid, NumberField(header, 116, 8, "gid"));
  ASSIGN_OR_RETURN(entry->size, NumberField(header, 124, 12, "size"));
  ASSIGN_OR_RETURN(entry->mtime_seconds, NumberField(header, 136, 12, "time"));
  if (uid < 0 || gid < 0 || uid >= std::numeric_limits<uint32_t>::max() ||
      gid >= std::numeric_limits<uint32_t>::max()) {
    return Damaged(absl::StrCat("the owner of ", Quoted(entry->name), " is out of range"));
  }
  entry->mode = static_cast<uint32_t>(mode & 07777);
  entry->uid = static_cast<uint32_t>(uid);
  entry->gid = static_cast<uint32_t>(gid);
  char flag = header[156];
  if (flag == '3' || flag == '4') {
    ASSIGN_OR_RETURN(int64_t major, NumberField(header, 329, 8, "device"));
    ASSIGN_OR_RETURN(int64_t minor, NumberField(header, 337, 8, "device"));
    if (major < 0 || minor < 0 || major >= 1 << 12 || minor >= 1 << 20) {
      return Damaged(
          absl::StrCat("the device number of ", Quoted(entry->name), " is out of range"));
    }
    entry->device_major = static_cast<uint32_t>(major);
    entry->device_minor = static_cast<uint32_t>(minor);
  }
  return absl::OkStatus();
}

}  // namespace

bool LooksLikeTar(absl::string_view block) {
  if (block.size() < kTarBlock) return false;
  block = block.substr(0, kTarBlock);
  return AllZero(block) || ChecksumHolds(block);
}

absl::StatusOr<absl::string_view> TarReader::Take(size_t size) {
  if (chunk_.empty()) {
    ASSIGN_OR_RETURN(chunk_, source_.Next());
  }
  absl::string_view taken = chunk_.substr(0, size);
  chunk_.remove_prefix(taken.size());
  return taken;
}

absl::StatusOr<std::string> TarReader::TakeStructure(size_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    ASSIGN_OR_RETURN(absl::string_view part, Take(size - bytes.size()));
    if (part.empty()) return Damaged("truncated");
    bytes.append(part.data(), part.size());
  }
  if (structure_ != nullptr && size > 0) RETURN_IF_ERROR(structure_->Write(bytes));
  return bytes;
}

absl::StatusOr<std::string> TarReader::TakeExtension(int64_t size, absl::string_view what) {
  if (size < 0 || size > kMaxExtension) return Damaged(absl::StrCat("a ", what, " over 1 MiB"));
  ASSIGN_OR_RETURN(std::string body, TakeStructure(static_cast<size_t>(size)));
  RETURN_IF_ERROR(TakeStructure(Padding(size)).status());
  return body;
}

absl::StatusOr<absl::string_view> TarReader::ReadContent() {
  if (content_left_ == 0) return absl::string_view();
  ASSIGN_OR_RETURN(absl::string_view part, Take(static_cast<size_t>(content_left_)));
  if (part.empty()) return Damaged("truncated");
  content_left_ -= static_cast<int64_t>(part.size());
  return part;
}

absl::Status TarReader::SkipContent() {
  while (content_left_ > 0) {
    // Nobody wanted these bytes, so they belong to the structure.
    ASSIGN_OR_RETURN(absl::string_view part, ReadContent());
    if (structure_ != nullptr) RETURN_IF_ERROR(structure_->Write(part));
  }
  RETURN_IF_ERROR(TakeStructure(std::exchange(padding_, 0)).status());
  return absl::OkStatus();
}

absl::Status TarReader::FinishArchive() {
  done_ = true;
  while (true) {
    ASSIGN_OR_RETURN(absl::string_view part, Take(std::numeric_limits<size_t>::max()));
    if (part.empty()) return absl::OkStatus();
    if (structure_ != nullptr) RETURN_IF_ERROR(structure_->Write(part));
  }
}

absl::Status TarReader::ReadPax(absl::string_view body, Records* records) {
  while (!body.empty()) {
    size_t space = body.find(' ');
    uint64_t length = 0;
    if (space == absl::string_view::npos || !absl::SimpleAtoi(body.substr(0, space), &length) ||
        length < space + 3 || length > body.size() || body[length - 1] != '\n') {
      return Damaged("malformed pax header");
    }
    absl::string_view record = body.substr(space + 1, length - space - 2);
    size_t equals = record.find('=');
    if (equals == absl::string_view::npos || equals == 0) return Damaged("malformed pax header");
    std::string key(record.substr(0, equals));
    absl::string_view value = record.substr(equals + 1);
    if (value.empty() && !absl::StartsWith(key, "SCHILY.xattr.")) {
      records->erase(key);
    } else {
      (*records)[key] = std::string(value);
    }
    body.remove_prefix(length);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TarEntry>> TarReader::Next() {
  if (done_) return std::nullopt;
  RETURN_IF_ERROR(SkipContent());
  Records records = global_;
  std::string long_name;
  std::string long_link;
  while (true) {
    ASSIGN_OR_RETURN(absl::string_view first, Take(kTarBlock));
    if (first.empty()) return Damaged("truncated: no end mark");
    std::string header(first);
    while (header.size() < kTarBlock) {
      ASSIGN_OR_RETURN(absl::string_view part, Take(kTarBlock - header.size()));
      if (part.empty()) return Damaged("truncated");
      header.append(part.data(), part.size());
    }
    if (structure_ != nullptr) RETURN_IF_ERROR(structure_->Write(header));
    if (AllZero(header)) {
      RETURN_IF_ERROR(FinishArchive());
      return std::nullopt;
    }
    if (!ChecksumHolds(header)) return Damaged("a header's checksum is wrong");
    char flag = header[156];
    if (flag == 'x' || flag == 'g' || flag == 'L' || flag == 'K') {
      ASSIGN_OR_RETURN(int64_t size, NumberField(header, 124, 12, "size"));
      ASSIGN_OR_RETURN(std::string body, TakeExtension(size, "header extension"));
      if (flag == 'x') {
        RETURN_IF_ERROR(ReadPax(body, &records));
      } else if (flag == 'g') {
        RETURN_IF_ERROR(ReadPax(body, &global_));
        records = global_;
      } else {
        (flag == 'L' ? long_name : long_link) = body.substr(0, body.find('\0'));
      }
      continue;
    }
    TarEntry entry;
    RETURN_IF_ERROR(ReadHeader(header, &entry));
    if (!long_name.empty()) entry.name = std::move(long_name);
    if (!long_link.empty()) entry.link_name = std::move(long_link);
    RETURN_IF_ERROR(ApplyPax(records, &entry));
    RETURN_IF_ERROR(CheckName(entry.name, "name"));
    RETURN_IF_ERROR(CheckName(entry.link_name, "link target"));
    if (entry.name.empty()) return Damaged("a member without a name");
    ASSIGN_OR_RETURN(entry.type, TypeOf(flag, entry));
    if (entry.size < 0 || entry.size > kMaxContent) {
      return Damaged(absl::StrCat("the size of ", Quoted(entry.name), " is out of range"));
    }
    // Only files carry content; some writers leave a size in the header of a link or directory.
    if (entry.type != EntryType::kFile) entry.size = 0;
    content_left_ = entry.size;
    padding_ = Padding(entry.size);
    return entry;
  }
}

}  // namespace darse::archive
