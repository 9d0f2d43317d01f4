// Volumes of this node: directories that outlive containers, and who uses them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/eventlog/event_log.h"
#include "libs/sqlite/database.h"
#include "services/runtime/volumes/volume_store.h"

namespace darse::runtime {

// Thread-safe. A crash between record and directory is finished by Recover.
class VolumeEngine {
 public:
  // Directories are made as <root>/<name>/_data. `new_id` answers 64 random hex digits, the name of
  // a volume without one.
  VolumeEngine(sqlite::Database& db, EventLog& events, Clock& clock,
               std::function<std::string()> new_id, std::string root);

  // Once, before any other verb: makes directories that are missing and removes what a deletion
  // left behind. Uses by containers not in `containers` are dropped.
  absl::Status Recover(const std::vector<std::string>& containers);

  // Answers the volume, made if there is none. An empty name makes a new one; `labels` are those of
  // a new one.
  absl::StatusOr<Volume> Ensure(absl::string_view name, bool anonymous,
                                const std::map<std::string, std::string>& labels,
                                absl::string_view actor);
  // As Ensure, but ALREADY_EXISTS if there is one with other labels.
  absl::StatusOr<Volume> Create(absl::string_view name,
                                const std::map<std::string, std::string>& labels,
                                absl::string_view actor);
  absl::StatusOr<Volume> Get(absl::string_view name);
  // By name.
  absl::StatusOr<std::vector<Volume>> List();
  // FAILED_PRECONDITION (VOLUME_IN_USE) while a container, running or not, has it.
  absl::Status Delete(absl::string_view name, absl::string_view actor);
  // Deletes what no container has, named ones only with `all`; answers their names.
  absl::StatusOr<std::vector<std::string>> Prune(bool all, absl::string_view actor);

  // A container has the volume from AddUse to RemoveUses, running or not. NOT_FOUND for an unknown
  // volume.
  absl::Status AddUse(absl::string_view name, absl::string_view container_id);
  // In the transaction that deletes the container: drops all its uses; with `delete_anonymous` also
  // the anonymous volumes that nobody else has, whose files go with a call of what it answers,
  // after the commit. A crash in between leaves them, as a directory that no record knows.
  absl::StatusOr<std::function<absl::Status()>> RemoveUses(sqlite::Transaction& tx,
                                                           absl::string_view container_id,
                                                           bool delete_anonymous,
                                                           absl::string_view actor);
  // Bytes in all volumes: walks them.
  absl::StatusOr<int64_t> Usage();

 private:
  absl::Status Remove(const std::string& name);
  std::string PathOf(absl::string_view name) const;

  sqlite::Database& db_;
  EventLog& events_;
  Clock& clock_;
  std::function<std::string()> new_id_;
  std::string root_;
};

}  // namespace darse::runtime
