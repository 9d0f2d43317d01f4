// A runtime in memory: layers are maps from path to content, RUN understands a few commands. For
// tests.
//
//   RUN write PATH TEXT     RUN append PATH TEXT     RUN print TEXT     RUN fail CODE     RUN block
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/builder/runtime.h"

namespace darse::builder {

struct FakeFile {
  std::string content;
  uint32_t mode = 0644;
  std::string owner;
  bool is_directory = false;
  bool operator==(const FakeFile&) const = default;
};

// Thread-safe.
class FakeRuntime final : public Runtime {
 public:
  using Files = std::map<std::string, FakeFile>;

  // An image of one layer.
  void AddImage(absl::string_view reference, const Files& files, absl::string_view config_json);
  // All calls answer UNAVAILABLE until it returns.
  void SetAway(bool away);
  // Forgets a layer, as a runtime that lost its database would.
  void ForgetLayer(absl::string_view chain_id);

  struct Image {
    std::string config_json;
    std::string chain_id;
    std::set<std::string> references;
  };
  // The image's files, all layers together. Dies if there is none.
  Files FilesOf(absl::string_view reference);
  Image ImageOf(absl::string_view reference);
  bool HasImage(absl::string_view reference);
  std::set<std::string> LeasedChains(absl::string_view lease);
  bool HasLease(absl::string_view lease);
  int containers();
  int snapshots();
  // How often StartRun and WriteFiles or CopyFiles were called.
  int runs();
  int copies();
  // True when that many containers run (blocked), false at the deadline.
  bool WaitForBlocked(int count, absl::Duration timeout);
  // Lets `block` commands end.
  void Unblock();

  std::optional<absl::Time> MissingSince() override;
  bool WaitUntilPresent(absl::Time deadline) override;
  absl::StatusOr<BaseImage> GetImage(absl::string_view reference) override;
  absl::StatusOr<std::string> CreateImage(absl::string_view config_json, absl::string_view chain_id,
                                          const std::vector<std::string>& references) override;
  absl::Status AcquireLease(absl::string_view lease, std::optional<absl::Time> expires) override;
  absl::Status UpdateLease(absl::string_view lease, const LeaseChange& change) override;
  absl::Status ReleaseLease(absl::string_view lease) override;
  absl::StatusOr<std::vector<std::string>> MissingLayers(
      const std::vector<std::string>& chain_ids) override;
  absl::StatusOr<std::string> PrepareSnapshot(absl::string_view lease,
                                              absl::string_view parent_chain_id) override;
  absl::StatusOr<std::optional<NewLayer>> CommitSnapshot(absl::string_view snapshot_id,
                                                         absl::string_view lease,
                                                         int64_t clamp_time_seconds) override;
  absl::Status DeleteSnapshot(absl::string_view snapshot_id) override;
  absl::Status WriteFiles(const FileWrite& write, archive::ChunkSource& tar) override;
  absl::Status CopyFiles(const FileCopy& copy) override;
  absl::StatusOr<std::string> DigestFiles(absl::string_view chain_id,
                                          const std::vector<std::string>& paths) override;
  absl::StatusOr<FileKind> Probe(absl::string_view snapshot_id, absl::string_view path) override;
  absl::StatusOr<std::string> StartRun(const RunRequest& run) override;
  absl::Status FollowOutput(absl::string_view container_id, absl::Time after,
                            absl::FunctionRef<void(const RunOutput&)> take,
                            Cancellation& cancellation) override;
  absl::StatusOr<RunExit> WaitExit(absl::string_view container_id,
                                   Cancellation& cancellation) override;
  absl::Status DeleteContainer(absl::string_view container_id) override;
  absl::StatusOr<std::vector<std::string>> ListContainers(absl::string_view label) override;

 private:
  struct Layer {
    std::string parent;
    std::string diff_id;
    Files files;
  };
  struct Snapshot {
    std::string lease;
    std::string parent;
    Files files;
  };
  struct Container {
    std::map<std::string, std::string> labels;
    std::string output;
    RunExit exit;
    bool running = false;
  };

  absl::Status CheckPresent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Files Merged(std::string chain_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Snapshot*> Find(absl::string_view snapshot_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  NewLayer AddLayer(const std::string& parent, const Files& files)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Await(const std::string& container_id, Cancellation& cancellation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  bool away_ ABSL_GUARDED_BY(mu_) = false;
  bool unblocked_ ABSL_GUARDED_BY(mu_) = false;
  int next_ ABSL_GUARDED_BY(mu_) = 1;
  int runs_ ABSL_GUARDED_BY(mu_) = 0;
  int copies_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, Layer> layers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Snapshot> snapshots_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Container> containers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Image> images_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::set<std::string>> leases_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::builder
