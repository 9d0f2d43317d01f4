#include "libs/archive/decompress.h"

#include <bzlib.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <zstd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::archive {
namespace {

constexpr size_t kOutBytes = 256 << 10;
// What a window may cost; larger ones are refused.
constexpr uint64_t kMaxMemory = 256 << 20;

absl::Status Damaged(absl::string_view format, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(format, " stream: ", why));
}

// What all formats share: pull input when it ran out, offer it until output comes.
class Decompressor : public ChunkSource {
 public:
  Decompressor(ChunkSource& source, absl::string_view name)
      : source_(source), name_(name), out_(kOutBytes) {}

  absl::StatusOr<absl::string_view> Next() final {
    while (true) {
      if (in_.empty() && !input_ended_) {
        ASSIGN_OR_RETURN(in_, source_.Next());
        input_ended_ = in_.empty();
      }
      if (input_ended_ && in_.empty() && between_members_) return absl::string_view();
      if (between_members_) {
        // gzip(1) and tar(1) pad with zeros to a block.
        while (!in_.empty() && any_member_ && in_.front() == '\0') in_.remove_prefix(1);
        if (in_.empty()) continue;
        RETURN_IF_ERROR(StartMember());
        between_members_ = false;
        any_member_ = true;
      }
      size_t before = in_.size();
      ASSIGN_OR_RETURN(size_t produced, Inflate());
      if (produced > 0) return absl::string_view(out_.data(), produced);
      if (input_ended_ && in_.empty() && !between_members_) return Damaged(name_, "truncated");
      if (in_.size() == before && !in_.empty() && !between_members_) {
        return Damaged(name_, "no progress");
      }
    }
  }

 protected:
  virtual absl::Status StartMember() = 0;
  // Takes from in_, fills out_, sets between_members_ at the end of one.
  virtual absl::StatusOr<size_t> Inflate() = 0;

  ChunkSource& source_;
  absl::string_view name_;
  absl::string_view in_;
  std::vector<char> out_;
  bool input_ended_ = false;
  bool between_members_ = true;
  bool any_member_ = false;
};

class GzipSource final : public Decompressor {
 public:
  explicit GzipSource(ChunkSource& source) : Decompressor(source, "gzip") {}

 private:
  absl::Status StartMember() override {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> Inflate() override {
    state_.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in_.data()));
    state_.avail_in = static_cast<uint32_t>(in_.size());
    state_.next_out = reinterpret_cast<uint8_t*>(out_.data());
    state_.avail_out = static_cast<uint32_t>(out_.size());
    int code = isal_inflate(&state_);
    if (code != ISAL_DECOMP_OK) return Damaged(name_, absl::StrCat("damaged (code ", code, ")"));
    in_.remove_prefix(in_.size() - state_.avail_in);
    between_members_ = state_.block_state == ISAL_BLOCK_FINISH;
    return out_.size() - state_.avail_out;
  }
  inflate_state state_;
};

class ZstdSource final : public Decompressor {
 public:
  explicit ZstdSource(ChunkSource& source)
      : Decompressor(source, "zstd"), context_(ZSTD_createDCtx()) {
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, 27);
  }
  ~ZstdSource() override { ZSTD_freeDCtx(context_); }

 private:
  absl::Status StartMember() override {
    ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> Inflate() override {
    ZSTD_inBuffer in{in_.data(), in_.size(), 0};
    ZSTD_outBuffer out{out_.data(), out_.size(), 0};
    size_t code = ZSTD_decompressStream(context_, &out, &in);
    if (ZSTD_isError(code)) return Damaged(name_, ZSTD_getErrorName(code));
    in_.remove_prefix(in.pos);
    between_members_ = code == 0;
    return out.pos;
  }
  ZSTD_DCtx* context_;
};

class XzSource final : public Decompressor {
 public:
  explicit XzSource(ChunkSource& source) : Decompressor(source, "xz") {}
  ~XzSource() override { lzma_end(&stream_); }

 private:
  absl::Status StartMember() override {
    lzma_end(&stream_);
    stream_ = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&stream_, kMaxMemory, 0) != LZMA_OK) {
      return absl::ResourceExhaustedError("xz stream: no memory");
    }
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> Inflate() override {
    stream_.next_in = reinterpret_cast<const uint8_t*>(in_.data());
    stream_.avail_in = in_.size();
    stream_.next_out = reinterpret_cast<uint8_t*>(out_.data());
    stream_.avail_out = out_.size();
    lzma_ret code = lzma_code(&stream_, input_ended_ ? LZMA_FINISH : LZMA_RUN);
    if (code == LZMA_MEMLIMIT_ERROR) return Damaged(name_, "needs more than 256 MiB of memory");
    if (code != LZMA_OK && code != LZMA_STREAM_END && code != LZMA_BUF_ERROR) {
      return Damaged(name_, absl::StrCat("damaged (code ", code, ")"));
    }
    in_.remove_prefix(in_.size() - stream_.avail_in);
    between_members_ = code == LZMA_STREAM_END;
    return out_.size() - stream_.avail_out;
  }
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class Bzip2Source final : public Decompressor {
 public:
  explicit Bzip2Source(ChunkSource& source) : Decompressor(source, "bzip2") {}
  ~Bzip2Source() override { BZ2_bzDecompressEnd(&stream_); }

 private:
  absl::Status StartMember() override {
    BZ2_bzDecompressEnd(&stream_);
    stream_ = {};
    if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) {
      return absl::ResourceExhaustedError("bzip2 stream: no memory");
    }
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> Inflate() override {
    stream_.next_in = const_cast<char*>(in_.data());
    stream_.avail_in = static_cast<unsigned>(in_.size());
    stream_.next_out = out_.data();
    stream_.avail_out = static_cast<unsigned>(out_.size());
    int code = BZ2_bzDecompress(&stream_);
    if (code != BZ_OK && code != BZ_STREAM_END) {
      return Damaged(name_, absl::StrCat("damaged (code ", code, ")"));
    }
    in_.remove_prefix(in_.size() - stream_.avail_in);
    between_members_ = code == BZ_STREAM_END;
    return out_.size() - stream_.avail_out;
  }
  bz_stream stream_ = {};
};

class PlainSource final : public ChunkSource {
 public:
  explicit PlainSource(ChunkSource& source) : source_(source) {}
  absl::StatusOr<absl::string_view> Next() override { return source_.Next(); }

 private:
  ChunkSource& source_;
};

}  // namespace

Compression DetectCompression(absl::string_view start) {
  if (absl::StartsWith(start, "\x1f\x8b\x08")) return Compression::kGzip;
  if (absl::StartsWith(start, "\x28\xb5\x2f\xfd")) return Compression::kZstd;
  if (absl::StartsWith(start, absl::string_view("\xfd"
                                                "7zXZ\0",
                                                6)))
    return Compression::kXz;
  if (absl::StartsWith(start, "BZh")) return Compression::kBzip2;
  return Compression::kNone;
}

std::unique_ptr<ChunkSource> MakeDecompressor(Compression compression, ChunkSource& source) {
  switch (compression) {
    case Compression::kGzip:
      return std::make_unique<GzipSource>(source);
    case Compression::kZstd:
      return std::make_unique<ZstdSource>(source);
    case Compression::kXz:
      return std::make_unique<XzSource>(source);
    case Compression::kBzip2:
      return std::make_unique<Bzip2Source>(source);
    case Compression::kNone:
      break;
  }
  return std::make_unique<PlainSource>(source);
}

}  // namespace darse::archive
