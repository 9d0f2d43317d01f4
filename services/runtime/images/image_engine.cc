#include "services/runtime/images/image_engine.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/oci/manifest.h"
#include "libs/oci/reference.h"

namespace darse::runtime {
namespace {

using sqlite::Transaction;

constexpr char kIdPrefix[] = "sha256:";
// Of hex digits: shorter ones are too easily a name.
constexpr size_t kShortestPrefix = 4;

bool IsHex(absl::string_view text) {
  for (char c : text) {
    if (!absl::ascii_isdigit(c) && (c < 'a' || c > 'f')) return false;
  }
  return !text.empty();
}

absl::Status NoImage(absl::string_view reference) {
  return absl::NotFoundError(absl::StrCat("no image \"", reference, "\""));
}

struct MadeManifest {
  std::string json;
  std::string digest;
};

// Of the image as it is kept here: layers uncompressed.
absl::StatusOr<MadeManifest> ManifestOf(absl::string_view config_json,
                                        const std::vector<LayerRow>& layers) {
  oci::Manifest manifest{.config = {.media_type = oci::kConfigMediaType,
                                    .digest = oci::Digest::Of(config_json),
                                    .size = static_cast<int64_t>(config_json.size())}};
  for (const LayerRow& layer : layers) {
    ASSIGN_OR_RETURN(oci::Digest digest, oci::Digest::Parse(layer.diff_id));
    manifest.layers.push_back({.media_type = oci::kTarLayerMediaType,
                               .digest = std::move(digest),
                               .size = layer.tar_bytes});
  }
  MadeManifest made{.json = oci::MakeManifest(manifest)};
  made.digest = oci::Digest::Of(made.json).text();
  return made;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FullNames(const std::vector<std::string>& references) {
  std::vector<std::string> names;
  for (const std::string& text : references) {
    ASSIGN_OR_RETURN(oci::Reference reference, oci::Reference::Parse(text));
    if (reference.digest) {
      return absl::InvalidArgumentError(
          absl::StrCat("image name \"", text, "\": a digest cannot be given as a name"));
    }
    names.push_back(reference.Full());
  }
  return names;
}

ImageEngine::ImageEngine(Options options, sqlite::Database& db, EventLog& events,
                         SnapshotEngine& snapshots, Clock& clock)
    : options_(std::move(options)),
      db_(db),
      events_(events),
      snapshots_(snapshots),
      clock_(clock) {}

absl::StatusOr<std::string> ImageEngine::Find(Transaction& tx, absl::string_view reference,
                                              std::string* by_name) {
  absl::string_view hex = reference;
  bool said_id = absl::ConsumePrefix(&hex, kIdPrefix);
  absl::StatusOr<oci::Reference> parsed = oci::Reference::Parse(reference);
  if (!said_id && parsed.ok()) {
    if (parsed->digest) {
      ASSIGN_OR_RETURN(std::string id, store_.FindManifest(tx, parsed->digest->text()));
      if (!id.empty()) return id;
      return NoImage(parsed->Familiar());
    }
    ASSIGN_OR_RETURN(std::string id, store_.FindReference(tx, parsed->Full()));
    if (!id.empty()) {
      if (by_name != nullptr) *by_name = parsed->Full();
      return id;
    }
  }
  if (IsHex(hex) && hex.size() >= kShortestPrefix && hex.size() <= 64) {
    ASSIGN_OR_RETURN(std::vector<std::string> ids,
                     store_.FindPrefix(tx, absl::StrCat(kIdPrefix, hex)));
    if (ids.size() == 1) return ids[0];
    if (ids.size() > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("image id \"", reference, "\" is the beginning of several"));
    }
    return NoImage(reference);
  }
  if (said_id) return NoImage(reference);
  RETURN_IF_ERROR(parsed.status());
  return NoImage(parsed->Familiar());
}

absl::StatusOr<ResolvedImage> ImageEngine::Resolve(absl::string_view reference) {
  ImageRow row;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::string id, Find(tx, reference, nullptr));
    ASSIGN_OR_RETURN(row, store_.Get(tx, id));
    return absl::OkStatus();
  }));
  ASSIGN_OR_RETURN(oci::ImageConfig config, oci::ParseImageConfig(row.config_json));
  return ResolvedImage{.id = std::move(row.image_id),
                       .config = std::move(config),
                       .chain_id = std::move(row.chain_id),
                       .references = std::move(row.references)};
}

absl::StatusOr<ImageView> ImageEngine::View(ImageRow row) {
  ASSIGN_OR_RETURN(oci::ImageConfig config, oci::ParseImageConfig(row.config_json));
  ASSIGN_OR_RETURN(std::vector<LayerRow> layers, snapshots_.Chain(row.chain_id));
  return ImageView{.row = std::move(row), .config = std::move(config), .layers = std::move(layers)};
}

absl::StatusOr<ImageView> ImageEngine::Get(absl::string_view reference) {
  ImageRow row;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::string id, Find(tx, reference, nullptr));
    ASSIGN_OR_RETURN(row, store_.Get(tx, id));
    return absl::OkStatus();
  }));
  return View(std::move(row));
}

absl::StatusOr<std::vector<ImageView>> ImageEngine::List(const std::optional<ImageCursor>& after,
                                                         int64_t limit) {
  std::vector<ImageRow> rows;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(rows, store_.List(tx, after, limit));
    return absl::OkStatus();
  }));
  std::vector<ImageView> views;
  for (ImageRow& row : rows) {
    ASSIGN_OR_RETURN(ImageView view, View(std::move(row)));
    views.push_back(std::move(view));
  }
  return views;
}

absl::Status ImageEngine::AppendEvent(Transaction& tx, absl::string_view action,
                                      const ImageRow& image, absl::string_view name,
                                      absl::string_view actor) {
  std::map<std::string, std::string> attributes;
  if (!name.empty()) attributes["name"] = std::string(name);
  return events_.Append(tx, {.kind = "image",
                             .action = std::string(action),
                             .id = image.image_id,
                             .attributes = std::move(attributes),
                             .actor = std::string(actor)});
}

absl::Status ImageEngine::PutReference(Transaction& tx, absl::string_view reference,
                                       const ImageRow& image, absl::string_view actor) {
  ASSIGN_OR_RETURN(std::string present, store_.FindReference(tx, reference));
  if (present == image.image_id) return absl::OkStatus();
  if (!present.empty()) {
    RETURN_IF_ERROR(AppendEvent(tx, "untag", {.image_id = present}, reference, actor));
  }
  RETURN_IF_ERROR(store_.PutReference(tx, reference, image.image_id));
  return AppendEvent(tx, "tag", image, reference, actor);
}

absl::StatusOr<DeletedImage> ImageEngine::Delete(absl::string_view reference, bool force,
                                                 absl::string_view actor) {
  ImageRow image;
  std::string by_name;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::string id, Find(tx, reference, &by_name));
    ASSIGN_OR_RETURN(image, store_.Get(tx, id));
    return absl::OkStatus();
  }));
  std::vector<std::string> users;
  if (options_.containers_of && !force) users = options_.containers_of(image.image_id);
  DeletedImage deleted;
  RETURN_IF_ERROR(db_.Write([&](Transaction& tx) -> absl::Status {
    deleted = {};
    ASSIGN_OR_RETURN(image, store_.Get(tx, image.image_id));
    bool last = by_name.empty() || image.references.size() <= 1;
    if (by_name.empty() && image.references.size() > 1 && !force) {
      return absl::FailedPreconditionError(
          absl::StrCat("image ", image.image_id, " has several names (",
                       absl::StrJoin(image.references, ", "), "): delete them, or use force"));
    }
    if (last && !users.empty()) {
      return WithReason(
          absl::FailedPreconditionError(absl::StrCat(
              "image \"", reference, "\" is used by container ", absl::StrJoin(users, ", "))),
          "IMAGE_IN_USE");
    }
    std::vector<std::string> names =
        by_name.empty() ? image.references : std::vector<std::string>{by_name};
    for (const std::string& name : names) {
      RETURN_IF_ERROR(store_.DeleteReference(tx, name));
      RETURN_IF_ERROR(AppendEvent(tx, "untag", image, name, actor));
      deleted.untagged_references.push_back(name);
    }
    ASSIGN_OR_RETURN(bool leased,
                     snapshot_store_.LeaseHoldsImage(tx, image.image_id, clock_.Now()));
    // Held by a lease it stays, without a name.
    if (!last || leased) return absl::OkStatus();
    RETURN_IF_ERROR(store_.Delete(tx, image.image_id));
    deleted.deleted_ids.push_back(image.image_id);
    return AppendEvent(tx, "delete", image, "", actor);
  }));
  if (!deleted.deleted_ids.empty()) RETURN_IF_ERROR(snapshots_.Collect().status());
  return deleted;
}

absl::Status ImageEngine::Tag(absl::string_view image, absl::string_view reference,
                              absl::string_view actor) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, FullNames({std::string(reference)}));
  return db_.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::string id, Find(tx, image, nullptr));
    ASSIGN_OR_RETURN(ImageRow row, store_.Get(tx, id));
    return PutReference(tx, names[0], row, actor);
  });
}

absl::StatusOr<ImageView> ImageEngine::Create(absl::string_view config_json,
                                              absl::string_view chain_id,
                                              const std::vector<std::string>& references,
                                              absl::string_view actor) {
  ASSIGN_OR_RETURN(oci::ImageConfig config, oci::ParseImageConfig(config_json));
  ASSIGN_OR_RETURN(std::vector<LayerRow> layers, snapshots_.Chain(chain_id));
  std::string top = config.diff_ids.empty() ? "" : oci::ChainIds(config.diff_ids).back().text();
  if (top != chain_id) {
    return absl::InvalidArgumentError(
        absl::StrCat("image config: rootfs.diff_ids are not those of layer ", chain_id));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> names, FullNames(references));
  ASSIGN_OR_RETURN(std::vector<std::string> ids,
                   Register({}, {{.config_json = std::string(config_json), .references = names}},
                            "create", actor));
  return Get(ids[0]);
}

absl::StatusOr<std::vector<std::string>> ImageEngine::Register(
    const std::vector<StagedLayer>& staged, const std::vector<NewImage>& images,
    absl::string_view action, absl::string_view actor) {
  std::vector<std::vector<oci::Digest>> chains;
  std::vector<std::string> ids;
  for (const NewImage& image : images) {
    ASSIGN_OR_RETURN(oci::ImageConfig config, oci::ParseImageConfig(image.config_json));
    chains.push_back(std::move(config.diff_ids));
    ids.push_back(oci::Digest::Of(image.config_json).text());
  }
  RETURN_IF_ERROR(snapshots_.Adopt(staged, chains, [&](Transaction& tx) -> absl::Status {
    for (size_t i = 0; i < images.size(); ++i) {
      ImageRow row{
          .image_id = ids[i], .config_json = images[i].config_json, .local_time = clock_.Now()};
      if (!chains[i].empty()) row.chain_id = oci::ChainIds(chains[i]).back().text();
      ASSIGN_OR_RETURN(std::vector<LayerRow> layers, snapshot_store_.GetChain(tx, row.chain_id));
      for (const LayerRow& layer : layers) row.size_bytes += layer.size_bytes;
      std::reverse(layers.begin(), layers.end());
      ASSIGN_OR_RETURN(MadeManifest manifest, ManifestOf(row.config_json, layers));
      row.manifest_json = std::move(manifest.json);
      row.manifest_digest = std::move(manifest.digest);
      RETURN_IF_ERROR(store_.Add(tx, row));
      RETURN_IF_ERROR(AppendEvent(tx, action, row, "", actor));
      for (const std::string& name : images[i].references) {
        RETURN_IF_ERROR(PutReference(tx, name, row, actor));
      }
    }
    return absl::OkStatus();
  }));
  return ids;
}

absl::StatusOr<PrunedImages> ImageEngine::Prune(bool all, absl::string_view actor) {
  std::vector<ImageRow> rows;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(rows, store_.List(tx, std::nullopt, -1));
    return absl::OkStatus();
  }));
  PrunedImages pruned;
  for (const ImageRow& candidate : rows) {
    if (!all && !candidate.references.empty()) continue;
    if (options_.containers_of && !options_.containers_of(candidate.image_id).empty()) continue;
    RETURN_IF_ERROR(db_.Write([&](Transaction& tx) -> absl::Status {
      absl::StatusOr<ImageRow> image = store_.Get(tx, candidate.image_id);
      if (absl::IsNotFound(image.status())) return absl::OkStatus();
      RETURN_IF_ERROR(image.status());
      ASSIGN_OR_RETURN(bool leased,
                       snapshot_store_.LeaseHoldsImage(tx, image->image_id, clock_.Now()));
      if (leased || (!all && !image->references.empty())) return absl::OkStatus();
      for (const std::string& name : image->references) {
        RETURN_IF_ERROR(AppendEvent(tx, "untag", *image, name, actor));
      }
      RETURN_IF_ERROR(store_.Delete(tx, image->image_id));
      pruned.deleted_ids.push_back(image->image_id);
      return AppendEvent(tx, "delete", *image, "", actor);
    }));
  }
  ASSIGN_OR_RETURN(pruned.reclaimed_bytes, snapshots_.Collect());
  return pruned;
}

}  // namespace darse::runtime
