// Images of this node: what they are called, what they are made of, how they come and go.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/clock.h"
#include "libs/eventlog/event_log.h"
#include "libs/oci/image_config.h"
#include "libs/sqlite/database.h"
#include "services/runtime/images/image_store.h"
#include "services/runtime/snapshots/snapshot_engine.h"

namespace darse::runtime {

struct ResolvedImage {
  // "sha256:…", of the config.
  std::string id;
  oci::ImageConfig config;
  // Of the top layer; empty for an image without layers. For SnapshotEngine::Prepare.
  std::string chain_id;
  // In full, sorted.
  std::vector<std::string> references;
};

// All there is to know of an image.
struct ImageView {
  ImageRow row;
  oci::ImageConfig config;
  // Base first.
  std::vector<LayerRow> layers;
};

struct NewImage {
  std::string config_json;
  // In full.
  std::vector<std::string> references;
};

struct DeletedImage {
  std::vector<std::string> untagged_references;
  std::vector<std::string> deleted_ids;
};

struct PrunedImages {
  std::vector<std::string> deleted_ids;
  int64_t reclaimed_bytes = 0;
};

// Thread-safe. `actor` in each verb goes into the events.
class ImageEngine {
 public:
  struct Options {
    // Names or ids of the containers made from an image. Unset: none.
    std::function<std::vector<std::string>(absl::string_view image_id)> containers_of;
  };
  ImageEngine(Options options, sqlite::Database& db, EventLog& events, SnapshotEngine& snapshots,
              Clock& clock);

  // `reference` is a name ("latest" if it has no tag), an id or a unique prefix of one. NOT_FOUND
  // when there is none, INVALID_ARGUMENT for a prefix of several or a malformed name.
  absl::StatusOr<ResolvedImage> Resolve(absl::string_view reference);

  absl::StatusOr<ImageView> Get(absl::string_view reference);
  // Newest first; at most `limit` after the cursor.
  absl::StatusOr<std::vector<ImageView>> List(const std::optional<ImageCursor>& after,
                                              int64_t limit);
  // A name is taken away, and the image with its last one. FAILED_PRECONDITION (IMAGE_IN_USE) if a
  // container needs it; with `force` its record goes all the same, the container keeps its layers.
  absl::StatusOr<DeletedImage> Delete(absl::string_view reference, bool force,
                                      absl::string_view actor);
  absl::Status Tag(absl::string_view image, absl::string_view reference, absl::string_view actor);
  // Over layers that are here. INVALID_ARGUMENT if the config does not name exactly those of
  // `chain_id`.
  absl::StatusOr<ImageView> Create(absl::string_view config_json, absl::string_view chain_id,
                                   const std::vector<std::string>& references,
                                   absl::string_view actor);
  absl::StatusOr<PrunedImages> Prune(bool all, absl::string_view actor);

  // For the verbs that bring layers with them: gives the layers their place, and makes the images
  // and their names in one transaction with one event each. Answers their ids.
  absl::StatusOr<std::vector<std::string>> Register(const std::vector<StagedLayer>& staged,
                                                    const std::vector<NewImage>& images,
                                                    absl::string_view action,
                                                    absl::string_view actor);

  SnapshotEngine& snapshots() { return snapshots_; }

 private:
  // The id, and in `by_name` the full name if `reference` was one.
  absl::StatusOr<std::string> Find(sqlite::Transaction& tx, absl::string_view reference,
                                   std::string* by_name);
  absl::StatusOr<ImageView> View(ImageRow row);
  absl::Status AppendEvent(sqlite::Transaction& tx, absl::string_view action, const ImageRow& image,
                           absl::string_view name, absl::string_view actor);
  absl::Status PutReference(sqlite::Transaction& tx, absl::string_view reference,
                            const ImageRow& image, absl::string_view actor);

  const Options options_;
  sqlite::Database& db_;
  EventLog& events_;
  SnapshotEngine& snapshots_;
  Clock& clock_;
  ImageStore store_;
  SnapshotStore snapshot_store_;
};

// Names as given by a user, in full; INVALID_ARGUMENT for one that is malformed or has a digest.
absl::StatusOr<std::vector<std::string>> FullNames(const std::vector<std::string>& references);

}  // namespace darse::runtime
