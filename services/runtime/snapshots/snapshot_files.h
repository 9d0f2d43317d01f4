// Reading and writing files in snapshots and layers, through a merged view that no mount table
// shows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"
#include "services/runtime/snapshots/snapshot_engine.h"
#include "services/runtime/unpack/unpack_child.h"

namespace darse::runtime {

// Names or numbers, looked up in the snapshot.
struct OwnerNames {
  std::string user;
  std::string group;
};

struct WriteRequest {
  std::string snapshot_id;
  // Absolute; made if missing.
  std::string destination;
  // Unset: root.
  std::optional<OwnerNames> owner;
  // 0: the tar's.
  uint32_t mode = 0;
  bool keep_owners = false;
  bool detect_compression = false;
};

struct CopyRequest {
  std::string source_chain_id;
  std::vector<std::string> sources;
  std::string snapshot_id;
  std::string destination;
  // Unset: as in the source.
  std::optional<OwnerNames> owner;
  uint32_t mode = 0;
};

// A tar that is being unpacked into a snapshot. What came before an error stays: the snapshot is
// then good for nothing but to be deleted. One thread at a time.
class WriteSession {
 public:
  WriteSession(UniqueFd root, std::unique_ptr<UnpackChild> child)
      : root_(std::move(root)), child_(std::move(child)) {}
  absl::Status Write(absl::string_view bytes) { return child_->Write(bytes); }
  absl::Status Finish() { return child_->Finish().status(); }

 private:
  UniqueFd root_;
  std::unique_ptr<UnpackChild> child_;
};

// Thread-safe; calls on one snapshot must come one after another, and not while a container runs
// over it (FAILED_PRECONDITION for writes).
class SnapshotFiles {
 public:
  explicit SnapshotFiles(SnapshotEngine& snapshots) : snapshots_(snapshots) {}

  absl::StatusOr<std::unique_ptr<WriteSession>> StartWrite(const WriteRequest& request);
  // NOT_FOUND if a source matches nothing.
  absl::Status Copy(const CopyRequest& request);
  absl::StatusOr<std::string> Digest(absl::string_view chain_id,
                                     const std::vector<std::string>& paths);
  // NOT_FOUND if there is none, FAILED_PRECONDITION if it is no regular file, OUT_OF_RANGE over 4
  // MiB.
  absl::StatusOr<std::string> ReadFromLayers(absl::string_view chain_id, absl::string_view path);
  absl::StatusOr<std::string> ReadFromSnapshot(absl::string_view snapshot_id,
                                               absl::string_view path);

 private:
  absl::StatusOr<UniqueFd> OpenLayers(absl::string_view chain_id);
  absl::StatusOr<UniqueFd> OpenForWriting(absl::string_view snapshot_id);

  SnapshotEngine& snapshots_;
};

}  // namespace darse::runtime
