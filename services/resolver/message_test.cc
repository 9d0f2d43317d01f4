#include "services/resolver/message.h"

#include <string>

#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace darse::resolver {
namespace {

std::string Name(absl::string_view name) {
  std::string encoded;
  for (absl::string_view label : absl::StrSplit(name, '.', absl::SkipEmpty())) {
    encoded.push_back(static_cast<char>(label.size()));
    encoded.append(label.data(), label.size());
  }
  encoded.push_back('\0');
  return encoded;
}

// A query with recursion desired.
std::string QueryPacket(absl::string_view name, uint16_t type) {
  return std::string("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12) + Name(name) +
         std::string({static_cast<char>(type >> 8), static_cast<char>(type), 0, 1});
}

// The same with an OPT record that takes `size` bytes.
std::string WithOpt(std::string packet, uint16_t size) {
  packet[11] = 1;
  return packet + std::string("\0\0\x29", 3) +
         std::string({static_cast<char>(size >> 8), static_cast<char>(size), 0, 0, 0, 0, 0, 0});
}

int Rcode(const std::string& answer) { return answer[3] & 15; }
int Records(const std::string& answer) {
  return static_cast<uint8_t>(answer[6]) << 8 | static_cast<uint8_t>(answer[7]);
}

TEST(MessageTest, AQueryIsReadInLowerCase) {
  absl::StatusOr<Query> query = ParseQuery(QueryPacket("Web.Journal", kTypeA));
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->name, "web.journal");
  EXPECT_EQ(query->type, kTypeA);
  EXPECT_EQ(query->klass, kClassIn);
  EXPECT_TRUE(query->recursion_desired);
  EXPECT_EQ(query->udp_size, 512);
}

TEST(MessageTest, TheOptRecordTellsWhatTheClientTakes) {
  absl::StatusOr<Query> query = ParseQuery(WithOpt(QueryPacket("web", kTypeA), 4096));
  ASSERT_TRUE(query.ok());
  EXPECT_TRUE(query->has_opt);
  EXPECT_EQ(query->udp_size, 4096);
  // Less than what everybody takes is not believed.
  EXPECT_EQ(ParseQuery(WithOpt(QueryPacket("web", kTypeA), 100))->udp_size, 512);
}

TEST(MessageTest, EveryCutOfAQueryIsRefused) {
  const std::string packet = WithOpt(QueryPacket("web.journal", kTypeA), 4096);
  for (size_t size = 0; size < packet.size(); ++size) {
    EXPECT_FALSE(ParseQuery(packet.substr(0, size)).ok()) << size;
  }
}

TEST(MessageTest, HostileNamesAreRefused) {
  const std::string head("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  const std::string tail("\x00\x00\x01\x00\x01", 5);
  // A label longer than 63, a pointer to itself, a name longer than 255, a dot and a zero inside a
  // label.
  EXPECT_FALSE(ParseQuery(head + "\x40" + std::string(64, 'a') + tail).ok());
  EXPECT_FALSE(ParseQuery(head + "\xc0\x0c" + tail).ok());
  std::string labels;
  for (int i = 0; i < 5; ++i) labels += "\x3f" + std::string(63, 'a');
  EXPECT_FALSE(ParseQuery(head + labels + tail).ok());
  EXPECT_FALSE(ParseQuery(head + std::string("\x03", 1) + "a.b" + tail).ok());
  EXPECT_FALSE(ParseQuery(head +
                          std::string("\x03"
                                      "a\0b",
                                      4) +
                          tail)
                   .ok());
}

TEST(MessageTest, AnswersAndSeveralQuestionsAreNotQueries) {
  std::string packet = QueryPacket("web", kTypeA);
  packet[2] = static_cast<char>(0x81);
  EXPECT_FALSE(ParseQuery(packet).ok());
  // An answer is never answered: two servers could go on for ever.
  EXPECT_EQ(ErrorAnswer(packet, kFormatError), "");
  packet = QueryPacket("web", kTypeA);
  packet[5] = 2;
  EXPECT_FALSE(ParseQuery(packet).ok());
  EXPECT_EQ(Rcode(ErrorAnswer(packet, kFormatError)), kFormatError);
}

TEST(MessageTest, AddressesAreAnsweredInOrder) {
  const std::string packet = QueryPacket("Web", kTypeA);
  const Query query = *ParseQuery(packet);
  const std::string answer = AddressAnswer(query, packet, {0x0a590002, 0x0a590003}, 512);
  EXPECT_TRUE(Answers(answer, 0x1234, query));
  EXPECT_EQ(Rcode(answer), kNoError);
  EXPECT_EQ(Records(answer), 2);
  EXPECT_EQ(answer.substr(packet.size() + 12, 4), std::string("\x0a\x59\x00\x02", 4));
  // The question comes back as it was written.
  EXPECT_EQ(answer.substr(12, 5), packet.substr(12, 5));
  EXPECT_FALSE(IsTruncated(answer));
}

TEST(MessageTest, WhatDoesNotFitIsLeftOutAndSaidSo) {
  const std::string packet = QueryPacket("web", kTypeA);
  const Query query = *ParseQuery(packet);
  const std::vector<uint32_t> many(100, 0x0a590002);
  const std::string answer = AddressAnswer(query, packet, many, 512);
  EXPECT_LE(answer.size(), 512);
  EXPECT_TRUE(IsTruncated(answer));
  EXPECT_EQ(Records(answer), 30);
  EXPECT_FALSE(IsTruncated(AddressAnswer(query, packet, many, 65535)));
}

TEST(MessageTest, AnOptRecordIsAnsweredWithOne) {
  const std::string packet = WithOpt(QueryPacket("web", kTypeA), 1232);
  const std::string answer = EmptyAnswer(*ParseQuery(packet), packet, kNoSuchName);
  EXPECT_EQ(Rcode(answer), kNoSuchName);
  EXPECT_EQ(answer[11], 1);
  EXPECT_EQ(answer.size(), QueryPacket("web", kTypeA).size() + 11);
}

TEST(MessageTest, OnlyTheAnswerToTheQuestionIsTaken) {
  const std::string packet = QueryPacket("web", kTypeA);
  const Query query = *ParseQuery(packet);
  const std::string answer = AddressAnswer(query, packet, {1}, 512);
  EXPECT_TRUE(Answers(answer, 0x1234, query));
  EXPECT_FALSE(Answers(answer, 0x1235, query));
  EXPECT_FALSE(Answers(packet, 0x1234, query));
  const std::string other = QueryPacket("wob", kTypeA);
  EXPECT_FALSE(Answers(AddressAnswer(*ParseQuery(other), other, {1}, 512), 0x1234, query));
  const std::string aaaa = QueryPacket("web", kTypeAaaa);
  EXPECT_FALSE(Answers(AddressAnswer(*ParseQuery(aaaa), aaaa, {1}, 512), 0x1234, query));
  EXPECT_EQ(IdOf(WithId(answer, 0xabcd)), 0xabcd);
}

TEST(MessageTest, ReverseNames) {
  uint32_t address = 0;
  EXPECT_TRUE(ParseReverseName("2.0.89.10.in-addr.arpa", address));
  EXPECT_EQ(address, 0x0a590002);
  for (const char* bad :
       {"0.89.10.in-addr.arpa", "256.0.89.10.in-addr.arpa", "in-addr.arpa",
        "-1.0.89.10.in-addr.arpa", "2.0.89.10.in-addr.arpa.x", "0x2.0.89.10.in-addr.arpa"}) {
    EXPECT_FALSE(ParseReverseName(bad, address)) << bad;
  }
  const std::string packet = QueryPacket("2.0.89.10.in-addr.arpa", kTypePtr);
  const std::string answer = PointerAnswer(*ParseQuery(packet), packet, "web.journal");
  EXPECT_EQ(answer.substr(answer.size() - Name("web.journal").size()), Name("web.journal"));
}

}  // namespace
}  // namespace darse::resolver
