#include "services/runtime/images/save.h"

#include <errno.h>
#include <fcntl.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/archive/recipe.h"
#include "libs/archive/tar_entry.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/manifest.h"
#include "libs/oci/reference.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

using archive::ChunkSink;

std::string BlobName(const oci::Digest& digest) {
  return absl::StrCat("blobs/sha256/", digest.hex());
}

// Hashes and counts what passes.
class CheckedSink final : public ChunkSink {
 public:
  explicit CheckedSink(ChunkSink& out) : out_(out) {}
  absl::Status Write(absl::string_view bytes) override {
    digest.Update(bytes);
    size += static_cast<int64_t>(bytes.size());
    return out_.Write(bytes);
  }
  oci::DigestStream digest;
  int64_t size = 0;

 private:
  ChunkSink& out_;
};

absl::Status PutFile(const std::string& name, absl::string_view bytes, ChunkSink& out) {
  archive::TarEntry entry{.name = name, .size = static_cast<int64_t>(bytes.size())};
  RETURN_IF_ERROR(out.Write(archive::FormatHeader(entry)));
  RETURN_IF_ERROR(out.Write(bytes));
  return out.Write(std::string(archive::Padding(entry.size), '\0'));
}

absl::Status PutDirectory(const std::string& name, ChunkSink& out) {
  archive::TarEntry entry{
      .type = archive::EntryType::kDirectory, .name = absl::StrCat(name, "/"), .mode = 0755};
  return out.Write(archive::FormatHeader(entry));
}

absl::Status PutLayer(LayerDriver& driver, const LayerRow& layer, ChunkSink& out) {
  ASSIGN_OR_RETURN(oci::Digest diff_id, oci::Digest::Parse(layer.diff_id));
  std::string path = driver.LayerPath(layer.diff_id);
  UniqueFd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  UniqueFd recipe(openat(directory.get(), "recipe", O_RDONLY | O_CLOEXEC));
  if (!recipe.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path, "/recipe"));
  archive::TarEntry entry{.name = BlobName(diff_id), .size = layer.tar_bytes};
  RETURN_IF_ERROR(out.Write(archive::FormatHeader(entry)));
  CheckedSink checked(out);
  RETURN_IF_ERROR(archive::ReplayRecipe(recipe.get(), directory.get(), checked));
  if (checked.size != layer.tar_bytes || checked.digest.Finish() != diff_id) {
    return absl::DataLossError(absl::StrCat("layer ", layer.diff_id, " was changed on disk"));
  }
  return out.Write(std::string(archive::Padding(entry.size), '\0'));
}

}  // namespace

absl::Status SaveImages(ImageEngine& images, const std::vector<std::string>& references,
                        ChunkSink& out) {
  if (references.empty()) return absl::InvalidArgumentError("no image to save");
  struct Chosen {
    ImageView view;
    std::vector<std::string> names;
  };
  // All of them are found before the first byte.
  std::vector<Chosen> chosen;
  for (const std::string& reference : references) {
    ASSIGN_OR_RETURN(ImageView view, images.Get(reference));
    std::vector<std::string> names;
    absl::StatusOr<oci::Reference> parsed = oci::Reference::Parse(reference);
    for (const std::string& name : view.row.references) {
      if (parsed.ok() && parsed->Full() == name) names.push_back(name);
    }
    // An id brings all its names.
    if (names.empty()) names = view.row.references;
    chosen.push_back({std::move(view), std::move(names)});
  }
  RETURN_IF_ERROR(PutDirectory("blobs", out));
  RETURN_IF_ERROR(PutDirectory("blobs/sha256", out));
  std::set<std::string> written;
  oci::Index index;
  std::vector<oci::SavedImage> saved;
  for (const Chosen& image : chosen) {
    const ImageRow& row = image.view.row;
    ASSIGN_OR_RETURN(oci::Digest config, oci::Digest::Parse(row.image_id));
    ASSIGN_OR_RETURN(oci::Digest manifest, oci::Digest::Parse(row.manifest_digest));
    oci::SavedImage entry{.config = BlobName(config)};
    for (const LayerRow& layer : image.view.layers) {
      ASSIGN_OR_RETURN(oci::Digest diff_id, oci::Digest::Parse(layer.diff_id));
      entry.layers.push_back(BlobName(diff_id));
      if (!written.insert(layer.diff_id).second) continue;
      RETURN_IF_ERROR(PutLayer(images.snapshots().driver(), layer, out));
    }
    if (written.insert(row.image_id).second) {
      RETURN_IF_ERROR(PutFile(BlobName(config), row.config_json, out));
      RETURN_IF_ERROR(PutFile(BlobName(manifest), row.manifest_json, out));
    }
    oci::Descriptor descriptor{.media_type = oci::kManifestMediaType,
                               .digest = manifest,
                               .size = static_cast<int64_t>(row.manifest_json.size()),
                               .os = image.view.config.os,
                               .architecture = image.view.config.architecture};
    if (image.names.empty()) index.manifests.push_back(descriptor);
    for (const std::string& name : image.names) {
      ASSIGN_OR_RETURN(oci::Reference reference, oci::Reference::Parse(name));
      descriptor.annotations = {{"io.containerd.image.name", name},
                                {"org.opencontainers.image.ref.name", reference.tag}};
      index.manifests.push_back(descriptor);
      entry.repo_tags.push_back(reference.Familiar());
    }
    saved.push_back(std::move(entry));
  }
  RETURN_IF_ERROR(PutFile("index.json", oci::MakeIndex(index), out));
  RETURN_IF_ERROR(PutFile("oci-layout", R"({"imageLayoutVersion":"1.0.0"})", out));
  RETURN_IF_ERROR(PutFile("manifest.json", oci::MakeSavedImages(saved), out));
  return out.Write(std::string(2 * archive::kTarBlock, '\0'));
}

}  // namespace darse::runtime
