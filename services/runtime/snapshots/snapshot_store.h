// Rows of layers, of the leases that hold them, and of snapshots.
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

// layers: a chain id is a layer over all below it; several may share one diff id, and so one
// directory.
//
//   leases ◄─ lease_layers ─► layers ◄─┐ parent
//      ▲          snapshots ─► layers ─┘
//      └───────── snapshots      lease_images (ids of images; may name one that is gone)
inline constexpr char kSnapshotSchema[] = R"sql(
  CREATE TABLE layers (
    chain_id TEXT NOT NULL PRIMARY KEY,
    diff_id TEXT NOT NULL,
    parent_chain_id TEXT REFERENCES layers (chain_id),  -- NULL: the base layer
    size_bytes INTEGER NOT NULL,                        -- of the files' contents
    tar_bytes INTEGER NOT NULL,                         -- of the layer's tar, uncompressed
    created_at INTEGER NOT NULL                         -- nanoseconds since 1970
  ) STRICT;
  CREATE INDEX layers_by_diff ON layers (diff_id);
  CREATE INDEX layers_by_parent ON layers (parent_chain_id);
  CREATE TABLE leases (
    lease TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER                                  -- nanoseconds since 1970; NULL: never
  ) STRICT;
  CREATE TABLE lease_layers (
    lease TEXT NOT NULL REFERENCES leases (lease) ON DELETE CASCADE,
    chain_id TEXT NOT NULL REFERENCES layers (chain_id),
    PRIMARY KEY (lease, chain_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX lease_layers_by_layer ON lease_layers (chain_id);
  CREATE TABLE lease_images (
    lease TEXT NOT NULL REFERENCES leases (lease) ON DELETE CASCADE,
    image_id TEXT NOT NULL,
    PRIMARY KEY (lease, image_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE snapshots (
    snapshot_id TEXT NOT NULL PRIMARY KEY,
    lease TEXT REFERENCES leases (lease),               -- NULL: a container's own
    parent_chain_id TEXT REFERENCES layers (chain_id),  -- NULL: over nothing
    created_at INTEGER NOT NULL                         -- nanoseconds since 1970
  ) STRICT;
  CREATE INDEX snapshots_by_parent ON snapshots (parent_chain_id);
  CREATE INDEX snapshots_by_lease ON snapshots (lease);
)sql";

struct LayerRow {
  std::string chain_id;
  std::string diff_id;
  // Empty: the base layer.
  std::string parent_chain_id;
  int64_t size_bytes = 0;
  int64_t tar_bytes = 0;
};

struct SnapshotRow {
  std::string snapshot_id;
  // Empty: a container's own.
  std::string lease;
  // Empty: over nothing.
  std::string parent_chain_id;
};

// What a collection took away; their directories are to be removed.
struct Collected {
  std::vector<std::string> snapshot_ids;
  std::vector<std::string> diff_ids;
  // Of the contents of those layers.
  int64_t bytes = 0;
};

// Stateless; thread-safe.
class SnapshotStore {
 public:
  // OK if the row is there already.
  absl::Status AddLayer(sqlite::Transaction& tx, const LayerRow& layer, absl::Time now) const;
  // NOT_FOUND if there is none.
  absl::StatusOr<LayerRow> GetLayer(sqlite::Transaction& tx, absl::string_view chain_id) const;
  // The layer and all below it, top first; empty for "".
  absl::StatusOr<std::vector<LayerRow>> GetChain(sqlite::Transaction& tx,
                                                 absl::string_view chain_id) const;
  // One of the layers with that diff id; nullopt if there is none.
  absl::StatusOr<std::optional<LayerRow>> FindDiff(sqlite::Transaction& tx,
                                                   absl::string_view diff_id) const;
  absl::StatusOr<std::vector<std::string>> ListDiffs(sqlite::Transaction& tx) const;

  absl::Status PutLease(sqlite::Transaction& tx, absl::string_view lease,
                        std::optional<absl::Time> expires_at) const;
  // NOT_FOUND if there is none.
  absl::Status CheckLease(sqlite::Transaction& tx, absl::string_view lease) const;
  absl::Status HoldLayer(sqlite::Transaction& tx, absl::string_view lease,
                         absl::string_view chain_id) const;
  absl::Status DropLayer(sqlite::Transaction& tx, absl::string_view lease,
                         absl::string_view chain_id) const;
  absl::Status HoldImage(sqlite::Transaction& tx, absl::string_view lease,
                         absl::string_view image_id) const;
  absl::Status DropImage(sqlite::Transaction& tx, absl::string_view lease,
                         absl::string_view image_id) const;
  absl::StatusOr<bool> LeaseHoldsImage(sqlite::Transaction& tx, absl::string_view image_id,
                                       absl::Time now) const;
  // The lease is over; Collect() does the rest. OK if there is none.
  absl::Status EndLease(sqlite::Transaction& tx, absl::string_view lease) const;

  // ALREADY_EXISTS if there is one of that id.
  absl::Status AddSnapshot(sqlite::Transaction& tx, const SnapshotRow& snapshot,
                           absl::Time now) const;
  absl::StatusOr<SnapshotRow> GetSnapshot(sqlite::Transaction& tx,
                                          absl::string_view snapshot_id) const;
  absl::StatusOr<std::vector<SnapshotRow>> ListSnapshots(sqlite::Transaction& tx) const;
  // Those whose lease is over.
  absl::StatusOr<std::vector<std::string>> ListExpired(sqlite::Transaction& tx,
                                                       absl::Time now) const;
  // OK if there is none.
  absl::Status DeleteSnapshot(sqlite::Transaction& tx, absl::string_view snapshot_id) const;

  // Deletes leases past their time with their snapshots (not those in `running`), then layers that
  // no image, snapshot or lease needs.
  absl::StatusOr<Collected> Collect(sqlite::Transaction& tx, absl::Time now,
                                    const std::vector<std::string>& running) const;
};

}  // namespace darse::runtime
