// Snapshots: a root filesystem made of immutable layers plus one writable directory. Layers, and
// the leases that hold them, live here too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/digest.h"
#include "libs/sqlite/database.h"
#include "services/runtime/snapshots/layer_driver.h"
#include "services/runtime/snapshots/snapshot_store.h"

namespace darse::runtime {

// For the shim's overlay mount. The lowest of `lower_dirs` holds only empty mount points (/dev,
// /proc, /etc/hosts, …), so that what every container needs is there without becoming part of a
// layer.
struct SnapshotDirs {
  std::vector<std::string> lower_dirs;  // top first
  std::string upper_dir;
  std::string work_dir;
};

// A layer that was unpacked into staging and waits for its place.
struct StagedLayer {
  // Holds fs/, recipe and orphans/.
  std::string directory;
  oci::Digest diff_id;
  // Of the files' contents, and of the layer's tar.
  int64_t bytes = 0;
  int64_t tar_bytes = 0;
  // Paths in fs/ that hide what is below them.
  std::vector<std::string> opaque;
};

struct CommittedLayer {
  oci::Digest diff_id;
  std::string chain_id;
  // Of the layer's tar.
  int64_t tar_bytes = 0;
};

// Thread-safe.
class SnapshotEngine {
 public:
  struct Options {
    // "<root>/runtime"
    std::string root;
    // Path of darse-unpack.
    std::string unpack_program;
    // Whether a container over this snapshot runs: it is not committed, written or deleted then.
    // Unset: never.
    std::function<bool(absl::string_view snapshot_id)> is_running;
  };
  SnapshotEngine(Options options, sqlite::Database& db, Clock& clock);

  // Call once at start, before anything else: makes the directories, removes what a crash left half
  // done, and what no row names. Layers stay where the database was damaged.
  absl::Status Recover();

  // A container's own snapshot: `snapshot_id` is the container's id, and it stays until Forget().
  // `parent_chain_id` may be empty (nothing below). OK with the same directories if it exists
  // already over the same parent; NOT_FOUND for a missing layer. MakeFiles() after the commit: the
  // row keeps the layers. After a crash: call again, or Forget() and RemoveFiles().
  absl::StatusOr<SnapshotDirs> Prepare(sqlite::Transaction& tx, absl::string_view snapshot_id,
                                       absl::string_view parent_chain_id);
  absl::Status MakeFiles(absl::string_view snapshot_id, const SnapshotDirs& dirs);
  // Makes what MakeFiles() will need of directories, for a container that is to come; they go with
  // RemoveFiles() or Recover().
  absl::Status Anticipate(absl::string_view snapshot_id);
  // A new snapshot that goes with its lease; answers its id.
  absl::StatusOr<std::string> PrepareForLease(absl::string_view lease,
                                              absl::string_view parent_chain_id);
  // NOT_FOUND if there is none.
  absl::StatusOr<SnapshotDirs> Get(absl::string_view snapshot_id);
  // OK if there is none; FAILED_PRECONDITION while a container over a leased one runs. After a
  // crash Recover() does the rest.
  absl::Status Delete(absl::string_view snapshot_id);
  // Of a container's own, in the transaction that deletes the container: the layers below are
  // nobody's any more. The files stay until RemoveFiles(), which is OK if there are none, or
  // Recover().
  absl::Status Forget(sqlite::Transaction& tx, absl::string_view snapshot_id);
  absl::Status RemoveFiles(absl::string_view snapshot_id);
  // As above, but a container's own is not for its caller: FAILED_PRECONDITION.
  absl::Status DeleteLeased(absl::string_view snapshot_id);
  // Bytes on disk of the writable directory.
  absl::StatusOr<int64_t> Usage(absl::string_view snapshot_id);

  // The writable directory becomes a layer over the snapshot's parent, held by `lease`, with times
  // of at most `clamp_seconds` (negative: as they are); the snapshot is gone. nullopt if nothing
  // was changed. A crash in the middle loses the snapshot, never leaves half a layer.
  absl::StatusOr<std::optional<CommittedLayer>> Commit(absl::string_view snapshot_id,
                                                       absl::string_view lease,
                                                       int64_t clamp_seconds);

  // unset `expires_at`: never.
  absl::Status AcquireLease(absl::string_view lease, std::optional<absl::Time> expires_at);
  struct LeaseChange {
    std::vector<std::string> add_chain_ids, remove_chain_ids, add_image_ids, remove_image_ids;
  };
  absl::Status UpdateLease(absl::string_view lease, const LeaseChange& change);
  absl::Status ReleaseLease(absl::string_view lease);

  // Those of `chain_ids` that are not here.
  absl::StatusOr<std::vector<std::string>> Missing(const std::vector<std::string>& chain_ids);
  // Of the layer and all below it, top first: directories without the mount points, for reading.
  absl::StatusOr<std::vector<std::string>> LowerDirs(absl::string_view chain_id);

  // Gives staged layers their place and runs `body` in the transaction that adds the rows of
  // `chains` (each a list of diff ids, base first; INVALID_ARGUMENT if one is neither staged nor
  // here). All or nothing, but for directories that the next Recover() removes.
  absl::Status Adopt(const std::vector<StagedLayer>& staged,
                     const std::vector<std::vector<oci::Digest>>& chains,
                     absl::FunctionRef<absl::Status(sqlite::Transaction&)> body);
  // Removes what nothing holds: expired leases, their snapshots, unreferenced layers. Answers the
  // bytes of those layers' contents.
  absl::StatusOr<int64_t> Collect();

  // The layer and all below it, base first; empty for "".
  absl::StatusOr<std::vector<LayerRow>> Chain(absl::string_view chain_id);

  // FAILED_PRECONDITION while a container runs over it.
  absl::Status CheckNotRunning(absl::string_view snapshot_id) const;

  LayerDriver& driver() { return driver_; }
  const std::string& unpack_program() const { return options_.unpack_program; }

 private:
  absl::StatusOr<SnapshotDirs> DirsOf(sqlite::Transaction& tx, const SnapshotRow& snapshot);
  // nullopt if there is none.
  absl::StatusOr<std::optional<SnapshotRow>> Find(absl::string_view snapshot_id);
  absl::Status DeleteFound(const SnapshotRow& row);
  absl::StatusOr<SnapshotDirs> Add(sqlite::Transaction& tx, const SnapshotRow& snapshot);
  absl::StatusOr<std::vector<std::string>> RunningOfExpired();
  absl::Status RecoverSnapshots();
  absl::Status RecoverLayers();

  const Options options_;
  sqlite::Database& db_;
  Clock& clock_;
  SnapshotStore store_;
  LayerDriver driver_;
  // Held while directories of layers come or go together with their rows, so that a collection does
  // not take one that is about to be named.
  absl::Mutex layers_mu_;
};

}  // namespace darse::runtime
