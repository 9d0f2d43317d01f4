// Rows of containers, and of the requests that made them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/sqlite/database.h"
#include "services/runtime/containers/container_record.h"

namespace darse::runtime {

inline constexpr char kContainerSchema[] = R"sql(
  CREATE TABLE containers (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    spec BLOB NOT NULL,           -- darse.runtime.v1.ContainerSpec, as asked for
    merged BLOB NOT NULL,         -- the same with the image's values
    image_id TEXT NOT NULL,
    state INTEGER NOT NULL,       -- lifecycle.h
    intent INTEGER NOT NULL,      -- container_record.h
    created_at INTEGER NOT NULL,  -- times: nanoseconds since 1970; 0: never
    started_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    exit_code INTEGER NOT NULL,
    oom_killed INTEGER NOT NULL,
    error TEXT NOT NULL,
    pid INTEGER NOT NULL,
    restart_count INTEGER NOT NULL,
    exit_sequence INTEGER NOT NULL,  -- newest exit of the shim's journal that is part of this row
    stop_requested INTEGER NOT NULL,
    health_status INTEGER NOT NULL,
    failing_streak INTEGER NOT NULL,
    last_output TEXT NOT NULL,
    last_probe_at INTEGER NOT NULL,
    network BLOB NOT NULL,        -- darse.runtime.v1.Container with endpoints and ports alone
    cgroup_path TEXT NOT NULL,
    revision INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX containers_by_creation ON containers (created_at, id);
  CREATE INDEX containers_by_image ON containers (image_id);
  CREATE TABLE container_requests (
    request_id TEXT NOT NULL PRIMARY KEY,
    container_id TEXT NOT NULL,
    created_at INTEGER NOT NULL   -- nanoseconds since 1970
  ) STRICT;
)sql";

// Where a page of List ended.
struct ContainerCursor {
  int64_t created_ns = 0;
  std::string id;
};

// Stateless; thread-safe.
class ContainerStore {
 public:
  // ALREADY_EXISTS for a taken name.
  static absl::Status Insert(sqlite::Transaction& tx, const ContainerRecord& record);
  // All columns; `record.revision` grows by one.
  static absl::Status Update(sqlite::Transaction& tx, ContainerRecord& record);
  static absl::Status Delete(sqlite::Transaction& tx, absl::string_view id);
  static absl::StatusOr<ContainerRecord> Get(sqlite::Transaction& tx, absl::string_view id);
  // Id of the container that `reference` names: an id, a name or a unique prefix of an id.
  // NOT_FOUND, INVALID_ARGUMENT if several begin so.
  static absl::StatusOr<std::string> Find(sqlite::Transaction& tx, absl::string_view reference);
  // By creation, after `after`, at most `max`.
  static absl::StatusOr<std::vector<ContainerRecord>> List(sqlite::Transaction& tx,
                                                           const ContainerCursor& after, int max);
  static absl::StatusOr<std::vector<ContainerRecord>> ListAll(sqlite::Transaction& tx);
  static absl::StatusOr<std::vector<std::string>> ListByImage(sqlite::Transaction& tx,
                                                              absl::string_view image_id);

  // Remembers which container a request made, and forgets what is older than a day.
  static absl::Status AddRequest(sqlite::Transaction& tx, absl::string_view request_id,
                                 absl::string_view container_id, absl::Time now);
  // Empty if it made none within a day.
  static absl::StatusOr<std::string> FindRequest(sqlite::Transaction& tx,
                                                 absl::string_view request_id, absl::Time now);
  static absl::Status DeleteRequests(sqlite::Transaction& tx, absl::string_view container_id);
};

}  // namespace darse::runtime
