#include "services/runtime/unpack/unpack_members.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "libs/archive/decompress.h"
#include "libs/archive/recipe.h"
#include "libs/archive/root_path.h"
#include "libs/archive/tar_reader.h"
#include "libs/archive/unpack.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/digest.h"
#include "services/runtime/unpack/unpack_report.h"

namespace darse::runtime {
namespace {

using archive::ChunkSource;
using archive::Compression;

constexpr int64_t kMaxBlob = 16 << 20;
constexpr int kMaxMembers = 100'000;

// Hashes what passes.
class DigestSource final : public ChunkSource {
 public:
  explicit DigestSource(ChunkSource& inner) : inner_(inner) {}
  absl::StatusOr<absl::string_view> Next() override {
    ASSIGN_OR_RETURN(absl::string_view chunk, inner_.Next());
    digest_.Update(chunk);
    return chunk;
  }
  oci::Digest Finish() { return digest_.Finish(); }

 private:
  ChunkSource& inner_;
  oci::DigestStream digest_;
};

absl::StatusOr<UniqueFd> MakeDirectory(int root, const std::string& path) {
  if (mkdirat(root, path.c_str(), 0755) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("making directory ", path));
  }
  UniqueFd fd(openat(root, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  return fd;
}

absl::StatusOr<UniqueFd> MakeFile(int root, const std::string& path) {
  UniqueFd fd(openat(root, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("making ", path));
  return fd;
}

// `stored` in three stages on two threads: read, hash and inflate; then hash, parse and write.
absl::StatusOr<UnpackedLayer> OneLayer(ChunkSource& stored, Compression compression, int root,
                                       int number) {
  std::string name = absl::StrCat(number);
  ASSIGN_OR_RETURN(UniqueFd self, MakeDirectory(root, name));
  ASSIGN_OR_RETURN(UniqueFd fs, MakeDirectory(self.get(), "fs"));
  ASSIGN_OR_RETURN(UniqueFd orphans, MakeDirectory(self.get(), "orphans"));
  ASSIGN_OR_RETURN(UniqueFd recipe_file, MakeFile(self.get(), "recipe"));
  archive::RecipeWriter recipe(recipe_file.get());

  DigestSource stored_digest(stored);
  ChunkSource& compressed = compression == Compression::kNone ? stored : stored_digest;
  std::unique_ptr<ChunkSource> inflated = archive::MakeDecompressor(compression, compressed);
  std::optional<archive::UnpackTotals> totals;
  std::optional<oci::Digest> diff_id;
  {
    archive::ReadAheadSource ahead(*inflated);
    DigestSource plain(ahead);
    ASSIGN_OR_RETURN(
        totals, archive::Unpack(plain, fs.get(), {.recipe = &recipe, .orphans = orphans.get()}));
    diff_id = plain.Finish();
  }
  RETURN_IF_ERROR(recipe.Finish());
  return UnpackedLayer{
      .number = number,
      .diff_id = *diff_id,
      .stored_digest = compression == Compression::kNone ? *diff_id : stored_digest.Finish(),
      .bytes = totals->bytes,
      .opaque = std::move(totals->opaque)};
}

absl::Status OneBlob(ChunkSource& content, int root, int number) {
  ASSIGN_OR_RETURN(UniqueFd file, MakeFile(root, absl::StrCat(number)));
  archive::FdSink out(file.get());
  while (true) {
    ASSIGN_OR_RETURN(absl::string_view chunk, content.Next());
    if (chunk.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(out.Write(chunk));
  }
}

// A file of the archive: a layer if it looks like one, else a small blob.
absl::Status OneMember(archive::TarReader& reader, const archive::TarEntry& entry,
                       const std::string& name, int root, int number, archive::ChunkSink& report) {
  archive::ContentSource content(reader);
  archive::PeekSource peek(content);
  ASSIGN_OR_RETURN(absl::string_view start, peek.Peek(archive::kTarBlock));
  Compression compression = archive::DetectCompression(start);
  if (compression != Compression::kNone || archive::LooksLikeTar(start)) {
    absl::StatusOr<UnpackedLayer> layer = OneLayer(peek, compression, root, number);
    RETURN_IF_ERROR(Annotate(layer, absl::StrCat("layer ", name)).status());
    return report.Write(LayerLine(name, *layer));
  }
  if (entry.size > kMaxBlob) {
    return absl::InvalidArgumentError(absl::StrCat("member \"", absl::CHexEscape(name),
                                                   "\" is neither a layer nor a small JSON file"));
  }
  RETURN_IF_ERROR(OneBlob(peek, root, number));
  return report.Write(BlobLine(name, number));
}

}  // namespace

absl::Status UnpackLayer(ChunkSource& input, int root, archive::ChunkSink& report) {
  archive::PeekSource peek(input);
  ASSIGN_OR_RETURN(absl::string_view start, peek.Peek(archive::kTarBlock));
  ASSIGN_OR_RETURN(UnpackedLayer layer, OneLayer(peek, archive::DetectCompression(start), root, 0));
  return report.Write(LayerLine("", layer));
}

absl::Status UnpackArchive(ChunkSource& input, int root, archive::ChunkSink& report) {
  archive::PeekSource peek(input);
  ASSIGN_OR_RETURN(absl::string_view start, peek.Peek(archive::kTarBlock));
  if (start.empty()) return absl::InvalidArgumentError("the archive is empty");
  std::unique_ptr<ChunkSource> inflated =
      archive::MakeDecompressor(archive::DetectCompression(start), peek);
  archive::TarReader reader(*inflated);
  for (int number = 0; number < kMaxMembers; ++number) {
    ASSIGN_OR_RETURN(std::optional<archive::TarEntry> entry, reader.Next());
    if (!entry) return absl::OkStatus();
    if (entry->type == archive::EntryType::kDirectory) continue;
    ASSIGN_OR_RETURN(std::string name, archive::CleanPath(entry->name));
    if (entry->type == archive::EntryType::kFile) {
      RETURN_IF_ERROR(OneMember(reader, *entry, name, root, number, report));
    } else if (entry->type == archive::EntryType::kSymlink ||
               entry->type == archive::EntryType::kHardLink) {
      bool relative = entry->type == archive::EntryType::kSymlink;
      std::string target = entry->link_name;
      if (relative) target = absl::StrCat(archive::SplitPath(name).first, "/", target);
      RETURN_IF_ERROR(report.Write(LinkLine(name, target)));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("member \"", absl::CHexEscape(name), "\" is a device"));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxMembers, " members"));
}

}  // namespace darse::runtime
