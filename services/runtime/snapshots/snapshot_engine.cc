#include "services/runtime/snapshots/snapshot_engine.h"

#include <stdio.h>
#include <sys/random.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libs/base/status_macros.h"
#include "libs/oci/image_config.h"
#include "libs/os/files.h"
#include "services/runtime/snapshots/commit_layer.h"

namespace darse::runtime {
namespace {

using sqlite::Transaction;

std::string NewSnapshotId() {
  char bytes[16];
  // Cannot fail for so few bytes once the machine has booted.
  while (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
  }
  return absl::StrCat("snapshot-", absl::BytesToHexString(absl::string_view(bytes, sizeof bytes)));
}

// Ids become names of directories.
absl::Status CheckId(absl::string_view id) {
  bool good = !id.empty() && id.size() <= 128;
  for (char c : id) good = good && (absl::ascii_isalnum(c) || c == '-' || c == '_');
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("snapshot id \"", absl::CHexEscape(id.substr(0, 100)), "\" is malformed"));
}

absl::Status IsRunning(absl::string_view id) {
  return absl::FailedPreconditionError(absl::StrCat("a container runs over snapshot ", id));
}

absl::Status IsAContainers(absl::string_view id) {
  return absl::FailedPreconditionError(absl::StrCat("snapshot ", id, " belongs to a container"));
}

}  // namespace

SnapshotEngine::SnapshotEngine(Options options, sqlite::Database& db, Clock& clock)
    : options_(std::move(options)), db_(db), clock_(clock), driver_(options_.root) {}

// Asked outside of any transaction.
absl::StatusOr<std::vector<std::string>> SnapshotEngine::RunningOfExpired() {
  std::vector<std::string> snapshot_ids;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(snapshot_ids, store_.ListExpired(tx, clock_.Now()));
    return absl::OkStatus();
  }));
  std::erase_if(snapshot_ids, [this](const std::string& id) { return CheckNotRunning(id).ok(); });
  return snapshot_ids;
}

absl::Status SnapshotEngine::CheckNotRunning(absl::string_view snapshot_id) const {
  bool running = options_.is_running && options_.is_running(snapshot_id);
  return running ? IsRunning(snapshot_id) : absl::OkStatus();
}

absl::Status SnapshotEngine::Recover() {
  RETURN_IF_ERROR(driver_.Prepare());
  RETURN_IF_ERROR(RecoverSnapshots());
  RETURN_IF_ERROR(RecoverLayers());
  return Collect().status();
}

absl::Status SnapshotEngine::RecoverSnapshots() {
  std::vector<SnapshotRow> rows;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(rows, store_.ListSnapshots(tx));
    return absl::OkStatus();
  }));
  std::set<std::string> known;
  for (const SnapshotRow& row : rows) {
    known.insert(row.snapshot_id);
    if (driver_.HasSnapshot(row.snapshot_id)) continue;
    if (row.lease.empty()) {
      // Made just before the power went.
      ASSIGN_OR_RETURN(SnapshotDirs dirs, Get(row.snapshot_id));
      RETURN_IF_ERROR(MakeFiles(row.snapshot_id, dirs));
      continue;
    }
    // A commit that did not come to its end.
    RETURN_IF_ERROR(
        db_.Write([&](Transaction& tx) { return store_.DeleteSnapshot(tx, row.snapshot_id); }));
    RETURN_IF_ERROR(driver_.RemoveSnapshot(row.snapshot_id));
  }
  if (db_.was_damaged()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<std::string> found, driver_.ListSnapshots());
  for (const std::string& snapshot_id : found) {
    if (!known.contains(snapshot_id)) RETURN_IF_ERROR(driver_.RemoveSnapshot(snapshot_id));
  }
  return absl::OkStatus();
}

absl::Status SnapshotEngine::RecoverLayers() {
  if (db_.was_damaged()) return absl::OkStatus();
  std::vector<std::string> rows;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(rows, store_.ListDiffs(tx));
    return absl::OkStatus();
  }));
  std::set<std::string> known(rows.begin(), rows.end());
  ASSIGN_OR_RETURN(std::vector<std::string> found, driver_.ListLayers());
  for (const std::string& diff_id : found) {
    if (!known.contains(diff_id)) RETURN_IF_ERROR(driver_.RemoveLayer(diff_id));
  }
  return absl::OkStatus();
}

absl::StatusOr<SnapshotDirs> SnapshotEngine::DirsOf(Transaction& tx, const SnapshotRow& snapshot) {
  ASSIGN_OR_RETURN(std::vector<LayerRow> chain, store_.GetChain(tx, snapshot.parent_chain_id));
  SnapshotDirs dirs;
  for (const LayerRow& layer : chain) {
    std::string path = driver_.FsPath(layer.diff_id);
    // Overlay takes a directory only once, and the upper one hides the lower.
    if (std::find(dirs.lower_dirs.begin(), dirs.lower_dirs.end(), path) == dirs.lower_dirs.end()) {
      dirs.lower_dirs.push_back(std::move(path));
    }
  }
  dirs.lower_dirs.push_back(driver_.MountPointsPath());
  dirs.upper_dir = driver_.UpperPath(snapshot.snapshot_id);
  dirs.work_dir = driver_.WorkPath(snapshot.snapshot_id);
  return dirs;
}

absl::StatusOr<SnapshotDirs> SnapshotEngine::Add(Transaction& tx, const SnapshotRow& snapshot) {
  RETURN_IF_ERROR(CheckId(snapshot.snapshot_id));
  ASSIGN_OR_RETURN(SnapshotDirs dirs, DirsOf(tx, snapshot));
  absl::StatusOr<SnapshotRow> present = store_.GetSnapshot(tx, snapshot.snapshot_id);
  if (absl::IsNotFound(present.status())) {
    if (!snapshot.lease.empty()) RETURN_IF_ERROR(store_.CheckLease(tx, snapshot.lease));
    RETURN_IF_ERROR(store_.AddSnapshot(tx, snapshot, clock_.Now()));
    return dirs;
  }
  RETURN_IF_ERROR(present.status());
  if (present->parent_chain_id == snapshot.parent_chain_id) return dirs;
  return absl::AlreadyExistsError(
      absl::StrCat("snapshot ", snapshot.snapshot_id, " is over another layer"));
}

absl::StatusOr<SnapshotDirs> SnapshotEngine::Prepare(Transaction& tx, absl::string_view snapshot_id,
                                                     absl::string_view parent_chain_id) {
  return Add(tx, {.snapshot_id = std::string(snapshot_id),
                  .parent_chain_id = std::string(parent_chain_id)});
}

absl::Status SnapshotEngine::MakeFiles(absl::string_view snapshot_id, const SnapshotDirs& dirs) {
  return driver_.MakeSnapshot(snapshot_id, dirs.lower_dirs.front());
}

absl::Status SnapshotEngine::Anticipate(absl::string_view snapshot_id) {
  RETURN_IF_ERROR(CheckId(snapshot_id));
  return driver_.Anticipate(snapshot_id);
}

absl::StatusOr<std::string> SnapshotEngine::PrepareForLease(absl::string_view lease,
                                                            absl::string_view parent_chain_id) {
  if (lease.empty()) return absl::InvalidArgumentError("a snapshot needs a lease");
  SnapshotRow row{.snapshot_id = NewSnapshotId(),
                  .lease = std::string(lease),
                  .parent_chain_id = std::string(parent_chain_id)};
  SnapshotDirs dirs;
  // The row first: it keeps the layers.
  RETURN_IF_ERROR(db_.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(dirs, Add(tx, row));
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(MakeFiles(row.snapshot_id, dirs));
  return row.snapshot_id;
}

absl::StatusOr<SnapshotDirs> SnapshotEngine::Get(absl::string_view snapshot_id) {
  SnapshotDirs dirs;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(SnapshotRow row, store_.GetSnapshot(tx, snapshot_id));
    ASSIGN_OR_RETURN(dirs, DirsOf(tx, row));
    return absl::OkStatus();
  }));
  return dirs;
}

absl::Status SnapshotEngine::Forget(Transaction& tx, absl::string_view snapshot_id) {
  return store_.DeleteSnapshot(tx, snapshot_id);
}

absl::Status SnapshotEngine::RemoveFiles(absl::string_view snapshot_id) {
  RETURN_IF_ERROR(CheckId(snapshot_id));
  return driver_.RemoveSnapshot(snapshot_id);
}

absl::StatusOr<std::optional<SnapshotRow>> SnapshotEngine::Find(absl::string_view snapshot_id) {
  RETURN_IF_ERROR(CheckId(snapshot_id));
  std::optional<SnapshotRow> row;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    absl::StatusOr<SnapshotRow> found = store_.GetSnapshot(tx, snapshot_id);
    if (absl::IsNotFound(found.status())) return absl::OkStatus();
    ASSIGN_OR_RETURN(row, std::move(found));
    return absl::OkStatus();
  }));
  return row;
}

absl::Status SnapshotEngine::DeleteFound(const SnapshotRow& row) {
  if (!row.lease.empty()) RETURN_IF_ERROR(CheckNotRunning(row.snapshot_id));
  // Relaxed: Recover drops a leased row that a power loss brings back without its directories.
  RETURN_IF_ERROR(db_.Write([&](Transaction& tx) { return Forget(tx, row.snapshot_id); },
                            sqlite::Durability::kRelaxed));
  return RemoveFiles(row.snapshot_id);
}

absl::Status SnapshotEngine::Delete(absl::string_view snapshot_id) {
  ASSIGN_OR_RETURN(std::optional<SnapshotRow> row, Find(snapshot_id));
  return row ? DeleteFound(*row) : absl::OkStatus();
}

absl::Status SnapshotEngine::DeleteLeased(absl::string_view snapshot_id) {
  ASSIGN_OR_RETURN(std::optional<SnapshotRow> row, Find(snapshot_id));
  if (!row) return absl::OkStatus();
  if (row->lease.empty()) return IsAContainers(snapshot_id);
  return DeleteFound(*row);
}

absl::StatusOr<int64_t> SnapshotEngine::Usage(absl::string_view snapshot_id) {
  RETURN_IF_ERROR(Get(snapshot_id).status());
  return driver_.DiskUsage(snapshot_id);
}

absl::StatusOr<std::optional<CommittedLayer>> SnapshotEngine::Commit(absl::string_view snapshot_id,
                                                                     absl::string_view lease,
                                                                     int64_t clamp_seconds) {
  RETURN_IF_ERROR(CheckNotRunning(snapshot_id));
  SnapshotRow row;
  std::vector<LayerRow> chain;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(store_.CheckLease(tx, lease));
    ASSIGN_OR_RETURN(row, store_.GetSnapshot(tx, snapshot_id));
    ASSIGN_OR_RETURN(chain, store_.GetChain(tx, row.parent_chain_id));
    return absl::OkStatus();
  }));
  if (row.lease.empty()) return IsAContainers(snapshot_id);
  std::string like = chain.empty() ? driver_.MountPointsPath() : driver_.FsPath(chain[0].diff_id);
  ASSIGN_OR_RETURN(std::unique_ptr<Staging> staging, driver_.MakeStaging());
  ASSIGN_OR_RETURN(std::optional<PackedLayer> packed,
                   PackLayer({.upper = driver_.UpperPath(snapshot_id),
                              .parent_root = like,
                              .staging = staging->path(),
                              .clamp_seconds = clamp_seconds}));
  if (!packed) {
    RETURN_IF_ERROR(Delete(snapshot_id));
    return std::nullopt;
  }
  std::vector<oci::Digest> diff_ids;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    ASSIGN_OR_RETURN(oci::Digest diff_id, oci::Digest::Parse(it->diff_id));
    diff_ids.push_back(std::move(diff_id));
  }
  diff_ids.push_back(packed->diff_id);
  CommittedLayer layer{.diff_id = packed->diff_id,
                       .chain_id = oci::ChainIds(diff_ids).back().text(),
                       .tar_bytes = packed->tar_bytes};
  StagedLayer staged{.directory = staging->path(),
                     .diff_id = packed->diff_id,
                     .bytes = packed->bytes,
                     .tar_bytes = packed->tar_bytes};
  absl::Status adopted = Adopt({staged}, {diff_ids}, [&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(store_.HoldLayer(tx, lease, layer.chain_id));
    return store_.DeleteSnapshot(tx, snapshot_id);
  });
  if (!adopted.ok()) {
    // Back, if it has not become the layer.
    rename(JoinPath(staging->path(), "fs").c_str(), driver_.UpperPath(snapshot_id).c_str());
    return adopted;
  }
  RETURN_IF_ERROR(driver_.RemoveSnapshot(snapshot_id));
  return layer;
}

absl::Status SnapshotEngine::AcquireLease(absl::string_view lease,
                                          std::optional<absl::Time> expires_at) {
  if (lease.empty() || lease.size() > 256) {
    return absl::InvalidArgumentError("a lease has a name of 1 to 256 characters");
  }
  return db_.Write([&](Transaction& tx) { return store_.PutLease(tx, lease, expires_at); });
}

absl::Status SnapshotEngine::UpdateLease(absl::string_view lease, const LeaseChange& change) {
  return db_.Write([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(store_.CheckLease(tx, lease));
    for (const std::string& chain_id : change.add_chain_ids) {
      RETURN_IF_ERROR(store_.GetLayer(tx, chain_id).status());
      RETURN_IF_ERROR(store_.HoldLayer(tx, lease, chain_id));
    }
    for (const std::string& chain_id : change.remove_chain_ids) {
      RETURN_IF_ERROR(store_.DropLayer(tx, lease, chain_id));
    }
    for (const std::string& image_id : change.add_image_ids) {
      RETURN_IF_ERROR(store_.HoldImage(tx, lease, image_id));
    }
    for (const std::string& image_id : change.remove_image_ids) {
      RETURN_IF_ERROR(store_.DropImage(tx, lease, image_id));
    }
    return absl::OkStatus();
  });
}

absl::Status SnapshotEngine::ReleaseLease(absl::string_view lease) {
  RETURN_IF_ERROR(db_.Write([&](Transaction& tx) { return store_.EndLease(tx, lease); }));
  return Collect().status();
}

absl::StatusOr<std::vector<std::string>> SnapshotEngine::Missing(
    const std::vector<std::string>& chain_ids) {
  std::vector<std::string> missing;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    for (const std::string& chain_id : chain_ids) {
      absl::StatusOr<LayerRow> layer = store_.GetLayer(tx, chain_id);
      if (absl::IsNotFound(layer.status())) {
        missing.push_back(chain_id);
      } else {
        RETURN_IF_ERROR(layer.status());
      }
    }
    return absl::OkStatus();
  }));
  return missing;
}

absl::StatusOr<std::vector<LayerRow>> SnapshotEngine::Chain(absl::string_view chain_id) {
  std::vector<LayerRow> chain;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(chain, store_.GetChain(tx, chain_id));
    return absl::OkStatus();
  }));
  std::reverse(chain.begin(), chain.end());
  return chain;
}

absl::StatusOr<std::vector<std::string>> SnapshotEngine::LowerDirs(absl::string_view chain_id) {
  SnapshotDirs dirs;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(dirs, DirsOf(tx, {.parent_chain_id = std::string(chain_id)}));
    return absl::OkStatus();
  }));
  dirs.lower_dirs.pop_back();
  return dirs.lower_dirs;
}

absl::Status SnapshotEngine::Adopt(const std::vector<StagedLayer>& staged,
                                   const std::vector<std::vector<oci::Digest>>& chains,
                                   absl::FunctionRef<absl::Status(Transaction&)> body) {
  for (const StagedLayer& layer : staged) {
    RETURN_IF_ERROR(driver_.MarkOpaque(layer.directory, layer.opaque));
  }
  // Before a row names them.
  if (!staged.empty()) RETURN_IF_ERROR(driver_.Sync());
  absl::MutexLock lock(&layers_mu_);
  std::map<std::string, LayerRow> known;
  for (const StagedLayer& layer : staged) {
    RETURN_IF_ERROR(driver_.InstallLayer(layer.directory, layer.diff_id.text()));
    known[layer.diff_id.text()] = {
        .diff_id = layer.diff_id.text(), .size_bytes = layer.bytes, .tar_bytes = layer.tar_bytes};
  }
  return db_.Write([&](Transaction& tx) -> absl::Status {
    for (const std::vector<oci::Digest>& diff_ids : chains) {
      std::vector<oci::Digest> chain_ids = oci::ChainIds(diff_ids);
      for (size_t i = 0; i < diff_ids.size(); ++i) {
        const std::string& diff_id = diff_ids[i].text();
        if (!known.contains(diff_id)) {
          ASSIGN_OR_RETURN(std::optional<LayerRow> found, store_.FindDiff(tx, diff_id));
          if (!found) {
            return absl::InvalidArgumentError(absl::StrCat("layer ", diff_id, " is missing"));
          }
          known[diff_id] = *found;
        }
        LayerRow row = known[diff_id];
        row.chain_id = chain_ids[i].text();
        row.parent_chain_id = i == 0 ? "" : chain_ids[i - 1].text();
        RETURN_IF_ERROR(store_.AddLayer(tx, row, clock_.Now()));
      }
    }
    return body(tx);
  });
}

absl::StatusOr<int64_t> SnapshotEngine::Collect() {
  ASSIGN_OR_RETURN(std::vector<std::string> running, RunningOfExpired());
  Collected collected;
  // Removed when this ends, without the lock; what a crash leaves of them Recover() removes.
  std::vector<std::unique_ptr<Staging>> taken;
  {
    absl::MutexLock lock(&layers_mu_);
    RETURN_IF_ERROR(db_.Write([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(collected, store_.Collect(tx, clock_.Now(), running));
      return absl::OkStatus();
    }));
    for (const std::string& diff_id : collected.diff_ids) {
      ASSIGN_OR_RETURN(std::unique_ptr<Staging> layer, driver_.TakeLayer(diff_id));
      taken.push_back(std::move(layer));
    }
  }
  for (const std::string& snapshot_id : collected.snapshot_ids) {
    RETURN_IF_ERROR(driver_.RemoveSnapshot(snapshot_id));
  }
  return collected.bytes;
}

}  // namespace darse::runtime
