// What the builder asks of the runtime. The real one is runtime_client, over gRPC; the fake keeps
// it all in memory.
//
// Every call answers UNAVAILABLE when the runtime is not there (see IsAway); all but StartRun and
// CommitSnapshot may simply be repeated then.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/archive/chunk_source.h"
#include "services/builder/cancellation.h"

namespace darse::builder {

struct BaseImage {
  std::string id;
  // OCI image config.
  std::string config_json;
  // Of the top layer; empty for an image without layers.
  std::string chain_id;
};

struct NewLayer {
  std::string diff_id;
  std::string chain_id;
  int64_t size_bytes = 0;
};

struct LeaseChange {
  std::vector<std::string> add_chain_ids, remove_chain_ids, add_image_ids;
};

// A tar into a snapshot.
struct FileWrite {
  std::string snapshot_id;
  // Absolute; made if missing.
  std::string destination;
  std::string user, group;
  // 0: the tar's.
  uint32_t mode = 0;
  // As in the tar, which may be compressed.
  bool is_archive = false;
};

struct FileCopy {
  std::string source_chain_id;
  std::vector<std::string> sources;
  std::string snapshot_id;
  // Ends in "/" if it is a directory by its spelling.
  std::string destination;
  std::string user, group;
  uint32_t mode = 0;
};

struct RunRequest {
  std::string snapshot_id;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string working_dir;
  std::string user;
  // "" (bridge), "none", "host".
  std::string network;
  std::map<std::string, std::string> labels;
};

struct RunOutput {
  std::string text;
  bool is_stderr = false;
  // Of the newest line in it.
  absl::Time time;
};

struct RunExit {
  int code = 0;
  bool oom_killed = false;
};

enum class FileKind { kNothing, kFile, kOther };

// Thread-safe.
class Runtime {
 public:
  virtual ~Runtime() = default;

  // Unset while it is there.
  virtual std::optional<absl::Time> MissingSince() = 0;
  // True when it is there, false at the deadline.
  virtual bool WaitUntilPresent(absl::Time deadline) = 0;

  // NOT_FOUND for a missing image.
  virtual absl::StatusOr<BaseImage> GetImage(absl::string_view reference) = 0;
  // `config_json`'s diff ids must be those of `chain_id`. The image's id.
  virtual absl::StatusOr<std::string> CreateImage(absl::string_view config_json,
                                                  absl::string_view chain_id,
                                                  const std::vector<std::string>& references) = 0;

  // Unset `expires`: never.
  virtual absl::Status AcquireLease(absl::string_view lease, std::optional<absl::Time> expires) = 0;
  virtual absl::Status UpdateLease(absl::string_view lease, const LeaseChange& change) = 0;
  virtual absl::Status ReleaseLease(absl::string_view lease) = 0;

  virtual absl::StatusOr<std::vector<std::string>> MissingLayers(
      const std::vector<std::string>& chain_ids) = 0;
  virtual absl::StatusOr<std::string> PrepareSnapshot(absl::string_view lease,
                                                      absl::string_view parent_chain_id) = 0;
  // nullopt: nothing changed.
  virtual absl::StatusOr<std::optional<NewLayer>> CommitSnapshot(absl::string_view snapshot_id,
                                                                 absl::string_view lease,
                                                                 int64_t clamp_time_seconds) = 0;
  virtual absl::Status DeleteSnapshot(absl::string_view snapshot_id) = 0;
  virtual absl::Status WriteFiles(const FileWrite& write, archive::ChunkSource& tar) = 0;
  virtual absl::Status CopyFiles(const FileCopy& copy) = 0;
  virtual absl::StatusOr<std::string> DigestFiles(absl::string_view chain_id,
                                                  const std::vector<std::string>& paths) = 0;
  // What stands at a path of a snapshot.
  virtual absl::StatusOr<FileKind> Probe(absl::string_view snapshot_id, absl::string_view path) = 0;

  // Creates and starts a container; its id. Nothing stays after an error.
  virtual absl::StatusOr<std::string> StartRun(const RunRequest& run) = 0;
  // Hands over output after `after`, as it comes, until the container has exited. CANCELLED when it
  // comes to that.
  virtual absl::Status FollowOutput(absl::string_view container_id, absl::Time after,
                                    absl::FunctionRef<void(const RunOutput&)> take,
                                    Cancellation& cancellation) = 0;
  virtual absl::StatusOr<RunExit> WaitExit(absl::string_view container_id,
                                           Cancellation& cancellation) = 0;
  // Killed if it runs. OK if there is none.
  virtual absl::Status DeleteContainer(absl::string_view container_id) = 0;
  // Of these labels ("key" or "key=value").
  virtual absl::StatusOr<std::vector<std::string>> ListContainers(absl::string_view label) = 0;
};

// The runtime was not there for a call, as against one that it answered.
inline bool IsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace darse::builder
