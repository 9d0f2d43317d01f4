// Rows of images and their names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/sqlite/database.h"

namespace darse::runtime {

// After kSnapshotSchema: an image needs its top layer.
inline constexpr char kImageSchema[] = R"sql(
  CREATE TABLE images (
    image_id TEXT NOT NULL PRIMARY KEY,           -- digest of config_json
    config_json TEXT NOT NULL,
    manifest_digest TEXT NOT NULL,
    manifest_json TEXT NOT NULL,
    chain_id TEXT REFERENCES layers (chain_id),   -- of the top layer; NULL: none
    size_bytes INTEGER NOT NULL,                  -- of all layers
    local_at INTEGER NOT NULL                     -- nanoseconds since 1970
  ) STRICT;
  CREATE INDEX images_by_time ON images (local_at, image_id);
  CREATE INDEX images_by_layer ON images (chain_id);
  CREATE INDEX images_by_manifest ON images (manifest_digest);
  CREATE TABLE image_references (
    reference TEXT NOT NULL PRIMARY KEY,          -- in full
    image_id TEXT NOT NULL REFERENCES images (image_id) ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX image_references_by_image ON image_references (image_id);
)sql";

struct ImageRow {
  std::string image_id;
  std::string config_json;
  std::string manifest_digest;
  std::string manifest_json;
  // Empty: no layer.
  std::string chain_id;
  int64_t size_bytes = 0;
  absl::Time local_time;
  // Sorted.
  std::vector<std::string> references;
};

// Where a page of List ended.
struct ImageCursor {
  int64_t local_ns = 0;
  std::string image_id;
};

// Stateless; thread-safe.
class ImageStore {
 public:
  // The row alone, without references. OK if it is there already.
  absl::Status Add(sqlite::Transaction& tx, const ImageRow& image) const;
  // NOT_FOUND if there is none.
  absl::StatusOr<ImageRow> Get(sqlite::Transaction& tx, absl::string_view image_id) const;
  // Empty if nothing has that name.
  absl::StatusOr<std::string> FindReference(sqlite::Transaction& tx,
                                            absl::string_view reference) const;
  // The image whose manifest has that digest; empty if there is none.
  absl::StatusOr<std::string> FindManifest(sqlite::Transaction& tx,
                                           absl::string_view manifest_digest) const;
  // Ids that begin so, at most two.
  absl::StatusOr<std::vector<std::string>> FindPrefix(sqlite::Transaction& tx,
                                                      absl::string_view prefix) const;
  // Newest first, after the cursor.
  absl::StatusOr<std::vector<ImageRow>> List(sqlite::Transaction& tx,
                                             const std::optional<ImageCursor>& after,
                                             int64_t limit) const;
  // Moves the name if another image has it.
  absl::Status PutReference(sqlite::Transaction& tx, absl::string_view reference,
                            absl::string_view image_id) const;
  absl::Status DeleteReference(sqlite::Transaction& tx, absl::string_view reference) const;
  // With its names.
  absl::Status Delete(sqlite::Transaction& tx, absl::string_view image_id) const;
};

}  // namespace darse::runtime
