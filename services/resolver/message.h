// DNS messages (RFC 1035, 6891) as far as a forwarder reads and writes them. Pure; input is
// hostile.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::resolver {

inline constexpr uint16_t kTypeA = 1;
inline constexpr uint16_t kTypePtr = 12;
inline constexpr uint16_t kTypeAaaa = 28;
inline constexpr uint16_t kTypeAny = 255;
inline constexpr uint16_t kClassIn = 1;

inline constexpr int kNoError = 0;
inline constexpr int kFormatError = 1;
inline constexpr int kServerFailure = 2;
inline constexpr int kNoSuchName = 3;
inline constexpr int kNotImplemented = 4;
inline constexpr int kRefused = 5;

inline constexpr size_t kHeaderSize = 12;
// What a client takes over UDP that does not say otherwise.
inline constexpr size_t kPlainUdpSize = 512;

struct Query {
  uint16_t id = 0;
  bool recursion_desired = false;
  int opcode = 0;
  // Lower case, without the last dot: "web.journal"; "" for the root.
  std::string name;
  uint16_t type = 0;
  uint16_t klass = 0;
  // Bytes of the message that hold header and question: what an answer repeats.
  size_t question_end = 0;
  // The client sent an OPT record and takes answers up to `udp_size` over UDP.
  bool has_opt = false;
  size_t udp_size = kPlainUdpSize;
};

// INVALID_ARGUMENT unless `packet` is a query with one question and records that lie inside it.
absl::StatusOr<Query> ParseQuery(absl::string_view packet);
// The id, of any packet that has a header; 0 otherwise.
uint16_t IdOf(absl::string_view packet);
// True if `packet` is an answer to this question with this id. Question names are compared without
// case.
bool Answers(absl::string_view packet, uint16_t id, const Query& query);
bool IsTruncated(absl::string_view packet);
std::string WithId(absl::string_view packet, uint16_t id);

// Answers to `query`, whose packet was `packet`. `limit` is the size that the client takes: what
// does not fit is left out and the answer is marked as truncated.
std::string AddressAnswer(const Query& query, absl::string_view packet,
                          const std::vector<uint32_t>& addresses, size_t limit);
std::string PointerAnswer(const Query& query, absl::string_view packet, absl::string_view name);
// No records, with this response code.
std::string EmptyAnswer(const Query& query, absl::string_view packet, int rcode);
// For a packet that is not even a query: header only, or "" if it should get no answer at all.
std::string ErrorAnswer(absl::string_view packet, int rcode);

// The address that "4.3.2.1.in-addr.arpa" asks for; false for other names.
bool ParseReverseName(absl::string_view name, uint32_t& address);

}  // namespace darse::resolver
