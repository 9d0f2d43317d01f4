#include "libs/archive/recipe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/archive/decompress.h"
#include "libs/archive/root_path.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"

namespace darse::archive {
namespace {

constexpr size_t kLiteralBytes = 64 << 10;
constexpr uint64_t kMaxText = 1 << 20;

std::string Number(uint64_t value) {
  std::string bytes;
  while (value >= 0x80) {
    bytes.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

struct Record {
  char tag = 0;
  uint64_t size = 0;
  std::string text;
};

absl::Status Damaged(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("layer recipe: ", why));
}

class RecipeReader {
 public:
  explicit RecipeReader(int fd)
      : file_(fd), inflated_(MakeDecompressor(Compression::kZstd, file_)), source_(*inflated_) {}

  // nullopt at the end.
  absl::StatusOr<std::optional<Record>> Next() {
    ASSIGN_OR_RETURN(int tag, Byte());
    if (tag < 0) return std::nullopt;
    Record record{.tag = static_cast<char>(tag)};
    if (record.tag != 'L' && record.tag != 'F' && record.tag != 'M') return Damaged("unknown tag");
    if (record.tag == 'F') {
      ASSIGN_OR_RETURN(record.size, ReadNumber());
    }
    ASSIGN_OR_RETURN(uint64_t length, ReadNumber());
    if (length > kMaxText) return Damaged("a record is too long");
    while (record.text.size() < length) {
      RETURN_IF_ERROR(Fill());
      if (chunk_.empty()) return Damaged("truncated");
      absl::string_view part = chunk_.substr(0, length - record.text.size());
      record.text.append(part.data(), part.size());
      chunk_.remove_prefix(part.size());
    }
    return record;
  }

 private:
  absl::Status Fill() {
    if (!chunk_.empty()) return absl::OkStatus();
    absl::StatusOr<absl::string_view> chunk = source_.Next();
    if (!chunk.ok()) return Damaged(chunk.status().message());
    chunk_ = *chunk;
    return absl::OkStatus();
  }
  absl::StatusOr<int> Byte() {
    RETURN_IF_ERROR(Fill());
    if (chunk_.empty()) return -1;
    int byte = static_cast<unsigned char>(chunk_.front());
    chunk_.remove_prefix(1);
    return byte;
  }
  absl::StatusOr<uint64_t> ReadNumber() {
    uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      ASSIGN_OR_RETURN(int byte, Byte());
      if (byte < 0) return Damaged("truncated");
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return Damaged("a number is too large");
  }

  FdSource file_;
  std::unique_ptr<ChunkSource> inflated_;
  ChunkSource& source_;
  absl::string_view chunk_;
};

struct Move {
  size_t record;
  std::string path;
};

struct Outline {
  int64_t size = 0;
  std::vector<Move> moves;
};

absl::StatusOr<Outline> ReadOutline(int recipe_fd) {
  if (lseek(recipe_fd, 0, SEEK_SET) < 0) return absl::ErrnoToStatus(errno, "layer recipe");
  RecipeReader reader(recipe_fd);
  Outline outline;
  for (size_t index = 0;; ++index) {
    ASSIGN_OR_RETURN(std::optional<Record> record, reader.Next());
    if (!record) return outline;
    if (record->tag == 'L') outline.size += static_cast<int64_t>(record->text.size());
    if (record->tag == 'F') outline.size += static_cast<int64_t>(record->size);
    if (record->tag == 'M') outline.moves.push_back({index, record->text});
  }
}

// Where the content that record `index` names lies now.
std::string PlaceOf(const std::vector<Move>& moves, size_t index, absl::string_view path) {
  for (size_t n = 0; n < moves.size(); ++n) {
    const Move& move = moves[n];
    if (move.record < index) continue;
    if (path == move.path) return absl::StrCat("orphans/", n);
    if (absl::StartsWith(path, move.path) && path[move.path.size()] == '/') {
      return absl::StrCat("orphans/", n, path.substr(move.path.size()));
    }
  }
  return absl::StrCat("fs/", path);
}

absl::Status CopyFile(int layer, const std::string& path, uint64_t size, ChunkSink& out) {
  absl::StatusOr<UniqueFd> file = OpenStraight(layer, path, O_RDONLY | O_NONBLOCK);
  if (!file.ok()) return Damaged(file.status().message());
  struct stat st;
  if (fstat(file->get(), &st) != 0 || !S_ISREG(st.st_mode) ||
      static_cast<uint64_t>(st.st_size) != size) {
    return Damaged(absl::StrCat("\"", absl::CHexEscape(path), "\" is no longer what it was"));
  }
  FdSource source(file->get());
  while (true) {
    ASSIGN_OR_RETURN(absl::string_view chunk, source.Next());
    if (chunk.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(out.Write(chunk));
  }
}

}  // namespace

struct RecipeWriter::Stream {
  Stream() : context(ZSTD_createCCtx()), out(ZSTD_CStreamOutSize()) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
  }
  ~Stream() { ZSTD_freeCCtx(context); }
  ZSTD_CCtx* context;
  std::vector<char> out;
};

RecipeWriter::RecipeWriter(int fd) : stream_(std::make_unique<Stream>()), out_(fd) {}
RecipeWriter::~RecipeWriter() = default;

absl::Status RecipeWriter::Put(absl::string_view bytes, bool end) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  while (true) {
    ZSTD_outBuffer out{stream_->out.data(), stream_->out.size(), 0};
    size_t left =
        ZSTD_compressStream2(stream_->context, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left)) return absl::InternalError(ZSTD_getErrorName(left));
    RETURN_IF_ERROR(out_.Write(absl::string_view(stream_->out.data(), out.pos)));
    if (end ? left == 0 : in.pos == in.size) return absl::OkStatus();
  }
}

absl::Status RecipeWriter::FlushLiteral() {
  if (literal_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Put(absl::StrCat("L", Number(literal_.size())), false));
  RETURN_IF_ERROR(Put(literal_, false));
  literal_.clear();
  return absl::OkStatus();
}

absl::Status RecipeWriter::Write(absl::string_view structure) {
  while (!structure.empty()) {
    absl::string_view part = structure.substr(0, kLiteralBytes - literal_.size());
    literal_.append(part.data(), part.size());
    structure.remove_prefix(part.size());
    if (literal_.size() == kLiteralBytes) RETURN_IF_ERROR(FlushLiteral());
  }
  return absl::OkStatus();
}

absl::Status RecipeWriter::File(absl::string_view path, int64_t size) {
  if (size == 0) return absl::OkStatus();
  RETURN_IF_ERROR(FlushLiteral());
  return Put(absl::StrCat("F", Number(static_cast<uint64_t>(size)), Number(path.size()), path),
             false);
}

absl::StatusOr<std::string> RecipeWriter::Moved(absl::string_view path) {
  RETURN_IF_ERROR(FlushLiteral());
  RETURN_IF_ERROR(Put(absl::StrCat("M", Number(path.size()), path), false));
  return absl::StrCat(orphans_++);
}

absl::Status RecipeWriter::Finish() {
  RETURN_IF_ERROR(FlushLiteral());
  return Put("", true);
}

absl::StatusOr<int64_t> RecipeSize(int recipe_fd) {
  ASSIGN_OR_RETURN(Outline outline, ReadOutline(recipe_fd));
  return outline.size;
}

absl::Status ReplayRecipe(int recipe_fd, int layer, ChunkSink& out) {
  ASSIGN_OR_RETURN(Outline outline, ReadOutline(recipe_fd));
  if (lseek(recipe_fd, 0, SEEK_SET) < 0) return absl::ErrnoToStatus(errno, "layer recipe");
  RecipeReader reader(recipe_fd);
  for (size_t index = 0;; ++index) {
    ASSIGN_OR_RETURN(std::optional<Record> record, reader.Next());
    if (!record) return absl::OkStatus();
    if (record->tag == 'L') RETURN_IF_ERROR(out.Write(record->text));
    if (record->tag == 'F') {
      std::string place = PlaceOf(outline.moves, index, record->text);
      RETURN_IF_ERROR(CopyFile(layer, place, record->size, out));
    }
  }
}

}  // namespace darse::archive
