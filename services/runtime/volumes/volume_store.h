// Rows of volumes and of who uses them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/sqlite/database.h"

namespace darse::runtime {

inline constexpr char kVolumeSchema[] = R"sql(
  CREATE TABLE volumes (
    name TEXT NOT NULL PRIMARY KEY,
    anonymous INTEGER NOT NULL,
    created_at INTEGER NOT NULL  -- nanoseconds since 1970
  ) STRICT;
  CREATE TABLE volume_labels (
    volume TEXT NOT NULL REFERENCES volumes (name) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (volume, key)
  ) STRICT;
  CREATE TABLE volume_uses (
    volume TEXT NOT NULL REFERENCES volumes (name),
    container_id TEXT NOT NULL,
    PRIMARY KEY (volume, container_id)
  ) STRICT;
  CREATE INDEX volume_uses_by_container ON volume_uses (container_id);
)sql";

struct Volume {
  std::string name;
  std::map<std::string, std::string> labels;
  absl::Time created_at;
  // Of its contents, on the host. Filled in by the engine.
  std::string mountpoint;
  // Made for a container without a name of its own.
  bool anonymous = false;
  // Containers that have it; in order.
  std::vector<std::string> container_ids;
};

// Stateless; thread-safe.
class VolumeStore {
 public:
  static absl::Status Insert(sqlite::Transaction& tx, const Volume& volume);
  static absl::StatusOr<Volume> Get(sqlite::Transaction& tx, absl::string_view name);
  // By name.
  static absl::StatusOr<std::vector<Volume>> List(sqlite::Transaction& tx);
  static absl::Status Delete(sqlite::Transaction& tx, absl::string_view name);
  static absl::Status AddUse(sqlite::Transaction& tx, absl::string_view name,
                             absl::string_view container_id);
  static absl::StatusOr<bool> UsesAny(sqlite::Transaction& tx, absl::string_view container_id);
  static absl::Status RemoveUses(sqlite::Transaction& tx, absl::string_view container_id);
};

}  // namespace darse::runtime
