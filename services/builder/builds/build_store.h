// Rows of builds and of their events.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/sqlite/database.h"
#include "services/builder/builds/build_record.h"

namespace darse::builder {

// Stateless: each call is part of the caller's transaction.
class BuildStore {
 public:
  // Sets the record's number. ALREADY_EXISTS for a request id that is there.
  absl::Status Insert(sqlite::Transaction& tx, absl::string_view request_id, BuildRecord& record);
  // NOT_FOUND if there is none.
  absl::StatusOr<BuildRecord> Get(sqlite::Transaction& tx, absl::string_view id);
  absl::StatusOr<std::optional<BuildRecord>> FindRequest(sqlite::Transaction& tx,
                                                         absl::string_view request_id);
  // Newest first, those with a smaller number than `before`.
  absl::StatusOr<std::vector<BuildRecord>> List(sqlite::Transaction& tx, int64_t before, int max);
  // Those that have not ended, oldest first.
  absl::StatusOr<std::vector<BuildRecord>> ListActive(sqlite::Transaction& tx);
  // All but id, spec, times of creation, the wish to cancel and the last sequence.
  absl::Status Update(sqlite::Transaction& tx, const BuildRecord& record);
  absl::Status RequestCancel(sqlite::Transaction& tx, absl::string_view id);

  // Gives the events their sequences and stores them.
  absl::Status Append(sqlite::Transaction& tx, absl::string_view id,
                      std::vector<v1::BuildEvent>& events);
  // Oldest first, at most `max` and about 1 MiB.
  absl::StatusOr<std::vector<v1::BuildEvent>> Events(sqlite::Transaction& tx, absl::string_view id,
                                                     int64_t after, int max);
  // Deletes ended builds and their events, but for the newest `keep` builds.
  absl::Status Trim(sqlite::Transaction& tx, int keep);
};

}  // namespace darse::builder
