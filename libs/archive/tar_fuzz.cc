// Hostile tars, compressed or not: an answer or a status, never a crash, and what is read can be
// formatted and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>

#include "libs/archive/chunk_source.h"
#include "libs/archive/decompress.h"
#include "libs/archive/root_path.h"
#include "libs/archive/tar_reader.h"

namespace darse::archive {
namespace {

// Bombs are for the disk quota to stop, not for the fuzzer to wait for.
constexpr size_t kEnough = 4 << 20;

class LimitedSource final : public ChunkSource {
 public:
  explicit LimitedSource(ChunkSource& inner) : inner_(inner) {}
  absl::StatusOr<absl::string_view> Next() override {
    if (passed_ > kEnough) return absl::string_view();
    absl::StatusOr<absl::string_view> chunk = inner_.Next();
    if (chunk.ok()) passed_ += chunk->size();
    return chunk;
  }

 private:
  ChunkSource& inner_;
  size_t passed_ = 0;
};

bool SameNames(const TarEntry& entry) {
  std::string header = FormatHeader(entry) + std::string(2 * kTarBlock, '\0');
  StringSource source(header);
  TarReader reader(source);
  absl::StatusOr<std::optional<TarEntry>> again = reader.Next();
  return again.ok() && *again && (*again)->name == entry.name &&
         (*again)->link_name == entry.link_name && (*again)->uid == entry.uid &&
         (*again)->mode == entry.mode && (*again)->xattrs == entry.xattrs;
}

void ReadAll(absl::string_view bytes) {
  StringSource raw(bytes, 700);
  std::unique_ptr<ChunkSource> inflated = MakeDecompressor(DetectCompression(bytes), raw);
  LimitedSource source(*inflated);
  TarReader reader(source);
  while (true) {
    absl::StatusOr<std::optional<TarEntry>> entry = reader.Next();
    if (!entry.ok() || !*entry) return;
    CleanPath((*entry)->name).status().IgnoreError();
    TarEntry formatted = **entry;
    formatted.size = 0;
    // An empty name of an attribute cannot be told from none, and a name with "=" ends early.
    bool plain = formatted.type != EntryType::kFile || formatted.name.back() != '/';
    for (const auto& [key, value] : formatted.xattrs) {
      plain = plain && !key.empty() && key.find('=') == std::string::npos;
    }
    if (plain && !SameNames(formatted)) abort();
    while (true) {
      absl::StatusOr<absl::string_view> part = reader.ReadContent();
      if (!part.ok() || part->empty()) break;
    }
  }
}

}  // namespace
}  // namespace darse::archive

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  darse::archive::ReadAll(absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
