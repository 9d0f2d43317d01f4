#include "libs/archive/decompress.h"

#include <bzlib.h>
#include <gtest/gtest.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <zstd.h>

#include <string>

namespace darse::archive {
namespace {

std::string Text() {
  std::string text;
  for (int i = 0; text.size() < 700'000; ++i) text += std::to_string(i * 7919);
  return text;
}

std::string Gzip(const std::string& text) {
  std::string out(text.size() + 1000, '\0');
  isal_zstream stream;
  isal_deflate_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uint32_t>(text.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  EXPECT_EQ(isal_deflate(&stream), COMP_OK);
  out.resize(stream.total_out);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

std::string Xz(const std::string& text) {
  std::string out(text.size() + 1000, '\0');
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, nullptr,
                                    reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::string Bzip2(const std::string& text) {
  std::string out(text.size() + 10000, '\0');
  unsigned size = static_cast<unsigned>(out.size());
  EXPECT_EQ(BZ2_bzBuffToBuffCompress(out.data(), &size, const_cast<char*>(text.data()),
                                     static_cast<unsigned>(text.size()), 1, 0, 0),
            BZ_OK);
  out.resize(size);
  return out;
}

absl::StatusOr<std::string> Inflate(const std::string& bytes, size_t chunk = 1 << 16) {
  StringSource source(bytes, chunk);
  std::unique_ptr<ChunkSource> inflated = MakeDecompressor(DetectCompression(bytes), source);
  std::string text;
  while (true) {
    absl::StatusOr<absl::string_view> part = inflated->Next();
    if (!part.ok()) return part.status();
    if (part->empty()) return text;
    text.append(part->data(), part->size());
  }
}

TEST(DecompressTest, EachFormatIsFoundAndUndoneWhateverTheChunks) {
  std::string text = Text();
  for (const std::string& bytes : {text, Gzip(text), Zstd(text), Xz(text), Bzip2(text)}) {
    for (size_t chunk : {1013, 1 << 20}) {
      absl::StatusOr<std::string> inflated = Inflate(bytes, chunk);
      ASSERT_TRUE(inflated.ok()) << inflated.status();
      EXPECT_TRUE(*inflated == text);
    }
  }
}

TEST(DecompressTest, SeveralMembersAreOneStream) {
  EXPECT_EQ(*Inflate(Gzip("one") + Gzip("two")), "onetwo");
  EXPECT_EQ(*Inflate(Zstd("one") + Zstd("two")), "onetwo");
  EXPECT_EQ(*Inflate(Xz("one") + Xz("two")), "onetwo");
  EXPECT_EQ(*Inflate(Gzip("one") + std::string(512, '\0')), "one");
}

TEST(DecompressTest, TruncationAndDamageAreRefused) {
  std::string text = Text();
  for (const std::string& bytes : {Gzip(text), Zstd(text), Xz(text), Bzip2(text)}) {
    EXPECT_FALSE(Inflate(bytes.substr(0, bytes.size() / 2)).ok());
    EXPECT_FALSE(Inflate(bytes.substr(0, bytes.size() - 1)).ok());
    std::string damaged = bytes;
    for (size_t at = damaged.size() / 2; at < damaged.size() / 2 + 8; ++at) damaged[at] ^= 0x55;
    absl::StatusOr<std::string> inflated = Inflate(damaged);
    // A format without a checksum over all may give other bytes, never more than there can be.
    EXPECT_TRUE(!inflated.ok() || *inflated != text);
  }
  EXPECT_FALSE(Inflate(Gzip("x") + "trailing").ok());
}

}  // namespace
}  // namespace darse::archive
