#include "libs/archive/tar_reader.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace darse::archive {
namespace {

struct Read {
  TarEntry entry;
  std::string content;
};

absl::StatusOr<std::vector<Read>> ReadAll(absl::string_view tar, size_t chunk = 1000,
                                          ChunkSink* structure = nullptr) {
  StringSource source(tar, chunk);
  TarReader reader(source, structure);
  std::vector<Read> all;
  while (true) {
    absl::StatusOr<std::optional<TarEntry>> entry = reader.Next();
    if (!entry.ok()) return entry.status();
    if (!*entry) return all;
    Read read{**entry, ""};
    while (true) {
      absl::StatusOr<absl::string_view> part = reader.ReadContent();
      if (!part.ok()) return part.status();
      if (part->empty()) break;
      read.content.append(part->data(), part->size());
    }
    all.push_back(std::move(read));
  }
}

std::string WithContent(TarEntry entry, absl::string_view content) {
  entry.size = static_cast<int64_t>(content.size());
  return absl::StrCat(FormatHeader(entry), content, std::string(Padding(entry.size), '\0'));
}

const std::string kEnd(1024, '\0');

// A raw header with its checksum put right.
std::string Patched(std::string header, size_t at, absl::string_view bytes) {
  header.replace(at, bytes.size(), bytes.data(), bytes.size());
  header.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (unsigned char c : header.substr(0, 512)) sum += c;
  char text[8];
  snprintf(text, sizeof text, "%06o", sum);
  header.replace(148, 7, text, 7);
  return header;
}

TEST(TarReaderTest, WhatIsFormattedIsReadAgain) {
  std::string long_name = absl::StrCat("dir/", std::string(200, 'n'));
  TarEntry entry{.name = long_name,
                 .mode = 04755,
                 .uid = 3'000'000,
                 .gid = 7,
                 .mtime_seconds = -5,
                 .mtime_nanoseconds = 250'000'000,
                 .xattrs = {{"user.k", std::string("a\0b=\n", 5)}, {"security.capability", ""}}};
  std::string tar = WithContent(entry, "hello") + kEnd;
  for (size_t chunk : {1, 7, 512, 4096}) {
    auto all = ReadAll(tar, chunk);
    ASSERT_TRUE(all.ok()) << all.status();
    ASSERT_EQ(all->size(), 1u);
    const TarEntry& read = (*all)[0].entry;
    EXPECT_EQ((*all)[0].content, "hello");
    EXPECT_EQ(read.name, long_name);
    EXPECT_EQ(read.mode, 04755u);
    EXPECT_EQ(read.uid, 3'000'000u);
    EXPECT_EQ(read.mtime_seconds, -5);
    EXPECT_EQ(read.mtime_nanoseconds, 250'000'000u);
    EXPECT_EQ(read.xattrs, entry.xattrs);
  }
}

TEST(TarReaderTest, EveryKindKeepsItsKind) {
  std::string tar;
  std::vector<EntryType> kinds = {EntryType::kDirectory,   EntryType::kSymlink,
                                  EntryType::kHardLink,    EntryType::kCharDevice,
                                  EntryType::kBlockDevice, EntryType::kFifo};
  for (EntryType kind : kinds) {
    tar += FormatHeader({.type = kind,
                         .name = "x",
                         .link_name = kind == EntryType::kSymlink ? "to" : "",
                         .device_major = 5,
                         .device_minor = 1});
  }
  auto all = ReadAll(tar + kEnd);
  ASSERT_TRUE(all.ok()) << all.status();
  for (size_t i = 0; i < kinds.size(); ++i) EXPECT_EQ((*all)[i].entry.type, kinds[i]);
  EXPECT_EQ((*all)[3].entry.device_minor, 1u);
}

TEST(TarReaderTest, GnuLongNamesAreRead) {
  std::string name(300, 'g');
  TarEntry header{.name = "././@LongLink", .size = 300};
  std::string tar = Patched(FormatHeader(header), 156, "L") + name + std::string(212, '\0') +
                    WithContent({.name = "short"}, "x") + kEnd;
  auto all = ReadAll(tar);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ((*all)[0].entry.name, name);
}

TEST(TarReaderTest, TheStructureAndTheContentsAreTheWholeTar) {
  std::string tar = WithContent({.name = "a"}, "12345") + WithContent({.name = "b"}, "") + kEnd +
                    std::string(4096, '\0') + "rest";
  StringSink structure;
  ASSERT_TRUE(ReadAll(tar, 100, &structure).ok());
  EXPECT_EQ(structure.text.size() + 5, tar.size());
}

TEST(TarReaderTest, DamageIsRefused) {
  std::string good = WithContent({.name = "file"}, std::string(600, 'x')) + kEnd;
  ASSERT_TRUE(ReadAll(good).ok());
  // Without its end mark, and cut anywhere before it.
  for (size_t size : {0, 1, 511, 512, 600, 1111, 1200, 1536}) {
    EXPECT_FALSE(ReadAll(good.substr(0, size)).ok()) << size;
  }
  std::string flipped = good;
  flipped[3] ^= 1;
  EXPECT_FALSE(ReadAll(flipped).ok());
  std::string header = FormatHeader({.name = "file"});
  struct {
    size_t at;
    std::string bytes;
  } patches[] = {
      {124, "9999999999z"},  // no number
      {124, std::string("\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)},
      {124, std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0", 12)},  // negative
      {108, std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8)},
      {156, "S"},                   // sparse
      {156, "?"},                   // unknown
      {0, std::string(100, '\0')},  // no name
  };
  for (const auto& patch : patches) {
    EXPECT_FALSE(ReadAll(Patched(header, patch.at, patch.bytes) + kEnd).ok()) << patch.at;
  }
}

TEST(TarReaderTest, HostilePaxHeadersAreRefused) {
  for (const std::string& body :
       {std::string("4 a=\n"), std::string("99 a=b\n"), std::string("6 a=b"),
        std::string("x a=b\n"), std::string("6 =ab\n"), std::string("20 GNU.sparse.map=0\n"),
        std::string("9 size=x\n"), std::string("11 uid=-10\n"),
        std::string("13 path=a\0b\n", 13)}) {
    TarEntry header{.name = "pax", .size = static_cast<int64_t>(body.size())};
    std::string tar = Patched(FormatHeader(header), 156, "x") + body +
                      std::string(Padding(header.size), '\0') + WithContent({.name = "f"}, "x") +
                      kEnd;
    EXPECT_FALSE(ReadAll(tar).ok()) << body;
  }
  TarEntry huge{.name = "pax", .size = 2 << 20};
  EXPECT_FALSE(ReadAll(Patched(FormatHeader(huge), 156, "x") + std::string(3 << 20, 'x')).ok());
}

}  // namespace
}  // namespace darse::archive
