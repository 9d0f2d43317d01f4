#include "services/resolver/message.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace darse::resolver {
namespace {

constexpr uint16_t kTypeOpt = 41;
constexpr size_t kLongestName = 255;
constexpr size_t kLongestLabel = 63;
// Short, as a service may be recreated at another address.
constexpr uint32_t kTtlSeconds = 5;
constexpr uint16_t kOwnUdpSize = 1232;

constexpr uint16_t kResponseFlag = 0x8000;
constexpr uint16_t kAuthoritativeFlag = 0x0400;
constexpr uint16_t kTruncatedFlag = 0x0200;
constexpr uint16_t kRecursionDesiredFlag = 0x0100;
constexpr uint16_t kRecursionAvailableFlag = 0x0080;

uint8_t ByteAt(absl::string_view packet, size_t at) { return static_cast<uint8_t>(packet[at]); }

uint16_t Get16(absl::string_view packet, size_t at) {
  return static_cast<uint16_t>(ByteAt(packet, at) << 8 | ByteAt(packet, at + 1));
}

void Put16(std::string& out, uint16_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

void Put32(std::string& out, uint32_t value) {
  Put16(out, static_cast<uint16_t>(value >> 16));
  Put16(out, static_cast<uint16_t>(value));
}

absl::Status Malformed() { return absl::InvalidArgumentError("malformed DNS message"); }

// Reads a question's name, which cannot be compressed since nothing stands before it. Moves `at`
// behind it.
absl::StatusOr<std::string> ReadQuestionName(absl::string_view packet, size_t& at) {
  std::string name;
  while (true) {
    if (at >= packet.size()) return Malformed();
    const size_t length = ByteAt(packet, at++);
    if (length == 0) return name;
    if (length > kLongestLabel || packet.size() - at < length ||
        name.size() + length + 1 > kLongestName) {
      return Malformed();
    }
    if (!name.empty()) name.push_back('.');
    for (const char c : packet.substr(at, length)) {
      // A dot inside a label would read like two labels.
      if (c == '.' || c == '\0') return Malformed();
      name.push_back(absl::ascii_tolower(c));
    }
    at += length;
  }
}

// Moves `at` behind a record's name, compressed or not.
bool SkipName(absl::string_view packet, size_t& at) {
  while (at < packet.size()) {
    const size_t length = ByteAt(packet, at++);
    if (length == 0) return true;
    if ((length & 0xc0) == 0xc0) return ++at <= packet.size();
    if (length > kLongestLabel || packet.size() - at < length) return false;
    at += length;
  }
  return false;
}

// Walks over the records behind the question, for the OPT record of a query.
bool ReadRecords(absl::string_view packet, Query& query) {
  const int records = Get16(packet, 6) + Get16(packet, 8) + Get16(packet, 10);
  size_t at = query.question_end;
  for (int i = 0; i < records; ++i) {
    // type, class, ttl, length
    if (!SkipName(packet, at) || packet.size() - at < 10) return false;
    const uint16_t type = Get16(packet, at);
    const uint16_t klass = Get16(packet, at + 2);
    const size_t length = Get16(packet, at + 8);
    at += 10;
    if (packet.size() - at < length) return false;
    at += length;
    if (type == kTypeOpt) {
      query.has_opt = true;
      query.udp_size = std::max<size_t>(klass, kPlainUdpSize);
    }
  }
  return true;
}

// Header and question of an answer; the counts of its records are set by Finish.
std::string Begin(const Query& query, absl::string_view packet, int rcode, bool truncated) {
  uint16_t flags = kResponseFlag | kRecursionAvailableFlag;
  flags |= static_cast<uint16_t>(query.opcode << 11 | rcode);
  if (rcode == kNoError || rcode == kNoSuchName) flags |= kAuthoritativeFlag;
  if (query.recursion_desired) flags |= kRecursionDesiredFlag;
  if (truncated) flags |= kTruncatedFlag;
  std::string answer;
  Put16(answer, query.id);
  Put16(answer, flags);
  Put16(answer, 1);
  answer.append(6, '\0');
  // As the client wrote it: some compare the case.
  answer.append(packet.data() + kHeaderSize, query.question_end - kHeaderSize);
  return answer;
}

std::string Finish(const Query& query, std::string answer, uint16_t records) {
  answer[6] = static_cast<char>(records >> 8);
  answer[7] = static_cast<char>(records);
  if (query.has_opt) {
    answer[11] = 1;
    answer.push_back('\0');
    Put16(answer, kTypeOpt);
    Put16(answer, kOwnUdpSize);
    Put32(answer, 0);
    Put16(answer, 0);
  }
  return answer;
}

void PutRecordHead(std::string& answer, uint16_t type, size_t length) {
  // The question's name.
  Put16(answer, 0xc000 | kHeaderSize);
  Put16(answer, type);
  Put16(answer, kClassIn);
  Put32(answer, kTtlSeconds);
  Put16(answer, static_cast<uint16_t>(length));
}

}  // namespace

absl::StatusOr<Query> ParseQuery(absl::string_view packet) {
  if (packet.size() < kHeaderSize) return Malformed();
  const uint16_t flags = Get16(packet, 2);
  if ((flags & kResponseFlag) != 0 || Get16(packet, 4) != 1) return Malformed();
  Query query{.id = Get16(packet, 0),
              .recursion_desired = (flags & kRecursionDesiredFlag) != 0,
              .opcode = flags >> 11 & 15};
  size_t at = kHeaderSize;
  absl::StatusOr<std::string> name = ReadQuestionName(packet, at);
  if (!name.ok()) return name.status();
  if (packet.size() - at < 4) return Malformed();
  query.name = *std::move(name);
  query.type = Get16(packet, at);
  query.klass = Get16(packet, at + 2);
  query.question_end = at + 4;
  if (!ReadRecords(packet, query)) return Malformed();
  return query;
}

uint16_t IdOf(absl::string_view packet) { return packet.size() < 2 ? 0 : Get16(packet, 0); }

bool Answers(absl::string_view packet, uint16_t id, const Query& query) {
  if (packet.size() < kHeaderSize || Get16(packet, 0) != id ||
      (Get16(packet, 2) & kResponseFlag) == 0) {
    return false;
  }
  // Some servers leave the question out of an error.
  const int rcode = Get16(packet, 2) & 15;
  if (Get16(packet, 4) == 0) return rcode != kNoError;
  if (Get16(packet, 4) != 1) return false;
  size_t at = kHeaderSize;
  absl::StatusOr<std::string> name = ReadQuestionName(packet, at);
  return name.ok() && packet.size() - at >= 4 && *name == query.name &&
         Get16(packet, at) == query.type && Get16(packet, at + 2) == query.klass;
}

bool IsTruncated(absl::string_view packet) {
  return packet.size() >= kHeaderSize && (Get16(packet, 2) & kTruncatedFlag) != 0;
}

std::string WithId(absl::string_view packet, uint16_t id) {
  std::string changed(packet);
  if (changed.size() >= 2) {
    changed[0] = static_cast<char>(id >> 8);
    changed[1] = static_cast<char>(id);
  }
  return changed;
}

std::string AddressAnswer(const Query& query, absl::string_view packet,
                          const std::vector<uint32_t>& addresses, size_t limit) {
  constexpr size_t kRecordSize = 16;
  constexpr size_t kOptSize = 11;
  const size_t fixed = query.question_end + (query.has_opt ? kOptSize : 0);
  const size_t room = limit > fixed ? (limit - fixed) / kRecordSize : 0;
  const size_t count = std::min(room, addresses.size());
  std::string answer = Begin(query, packet, kNoError, count < addresses.size());
  for (size_t i = 0; i < count; ++i) {
    PutRecordHead(answer, kTypeA, 4);
    Put32(answer, addresses[i]);
  }
  return Finish(query, std::move(answer), static_cast<uint16_t>(count));
}

std::string PointerAnswer(const Query& query, absl::string_view packet, absl::string_view name) {
  std::string encoded;
  for (absl::string_view label : absl::StrSplit(name, '.', absl::SkipEmpty())) {
    label = label.substr(0, kLongestLabel);
    encoded.push_back(static_cast<char>(label.size()));
    encoded.append(label.data(), label.size());
  }
  encoded.push_back('\0');
  std::string answer = Begin(query, packet, kNoError, false);
  PutRecordHead(answer, kTypePtr, encoded.size());
  return Finish(query, answer + encoded, 1);
}

std::string EmptyAnswer(const Query& query, absl::string_view packet, int rcode) {
  return Finish(query, Begin(query, packet, rcode, false), 0);
}

std::string ErrorAnswer(absl::string_view packet, int rcode) {
  // An answer to an answer could go round for ever.
  if (packet.size() < kHeaderSize || (Get16(packet, 2) & kResponseFlag) != 0) return "";
  std::string answer;
  Put16(answer, Get16(packet, 0));
  Put16(answer, static_cast<uint16_t>(kResponseFlag | kRecursionAvailableFlag |
                                      (Get16(packet, 2) & 0x7900) | rcode));
  answer.append(8, '\0');
  return answer;
}

bool ParseReverseName(absl::string_view name, uint32_t& address) {
  if (!absl::ConsumeSuffix(&name, ".in-addr.arpa")) return false;
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '.');
  if (parts.size() != 4) return false;
  address = 0;
  for (int i = 3; i >= 0; --i) {
    uint32_t part = 0;
    if (parts[i].empty() || parts[i].size() > 3 || !absl::ascii_isdigit(parts[i][0]) ||
        !absl::SimpleAtoi(parts[i], &part) || part > 255) {
      return false;
    }
    address = address << 8 | part;
  }
  return true;
}

}  // namespace darse::resolver
