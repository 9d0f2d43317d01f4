// A runtime in memory: it keeps containers, networks and volumes as the real one would, tells
// events, and can go away or lose an answer at any moment.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "services/scheduler/peers/runtime.h"

namespace darse::scheduler {

// Thread-safe.
class FakeRuntime final : public Runtime {
 public:
  explicit FakeRuntime(Clock& clock) : clock_(clock) {}

  // --- what happens to it
  void GoAway();
  void ComeBack();
  void AddImage(const std::string& reference, const std::string& id);
  void RemoveImage(const std::string& reference);
  // By container name, in each of these.
  void SetHealth(const std::string& name, runtime::v1::Health::Status status);
  void Exit(const std::string& name, int code);
  void StopByUser(const std::string& name);
  void DeleteByUser(const std::string& name);
  // The next start of it fails with this.
  void FailStart(const std::string& name, absl::Status status);
  // The next call of this verb does its work, and its answer is lost.
  void LoseAnswer(const std::string& verb);
  void TrimEvents();

  // --- what became of it
  // By name.
  std::map<std::string, runtime::v1::Container> containers() const;
  std::set<std::string> networks() const;
  std::set<std::string> volumes() const;
  // "create shop-web-1", "start shop-web-1", … in the order done.
  std::vector<std::string> journal() const;
  int64_t calls() const;

  std::optional<absl::Time> MissingSince() const override;
  bool WaitUntilPresent(absl::Time deadline) override;
  absl::StatusOr<runtime::v1::Container> CreateContainer(const runtime::v1::ContainerSpec& spec,
                                                         absl::string_view request_id) override;
  absl::StatusOr<runtime::v1::Container> StartContainer(absl::string_view id) override;
  absl::StatusOr<runtime::v1::Container> StopContainer(absl::string_view id,
                                                       std::optional<absl::Duration> timeout,
                                                       absl::Duration longest) override;
  absl::StatusOr<runtime::v1::Container> RestartContainer(absl::string_view id,
                                                          absl::Duration longest) override;
  absl::Status DeleteContainer(absl::string_view id, bool delete_volumes) override;
  absl::StatusOr<runtime::v1::Container> GetContainer(absl::string_view id) override;
  absl::StatusOr<std::vector<runtime::v1::Container>> ListContainers(
      absl::string_view label) override;
  absl::StatusOr<runtime::v1::Network> CreateNetwork(
      const runtime::v1::CreateNetworkRequest& request) override;
  absl::Status DeleteNetwork(absl::string_view name) override;
  absl::StatusOr<std::vector<runtime::v1::Network>> ListNetworks() override;
  absl::StatusOr<runtime::v1::Volume> CreateVolume(
      const runtime::v1::CreateVolumeRequest& request) override;
  absl::Status DeleteVolume(absl::string_view name) override;
  absl::StatusOr<std::vector<runtime::v1::Volume>> ListVolumes() override;
  absl::StatusOr<std::string> FindImage(absl::string_view reference) override;
  absl::StatusOr<Position> EventPosition() override;
  absl::Status WatchEvents(int64_t after_sequence, absl::string_view container_label,
                           const OnEvents& on_events) override;
  void Cancel() override;

 private:
  absl::Status Enter() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Leave(const std::string& verb) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<runtime::v1::Container*> Find(absl::string_view id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  runtime::v1::Event& Tell(absl::string_view kind, absl::string_view action, const std::string& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellOf(const runtime::v1::Container& container, absl::string_view action)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Note(absl::string_view verb, const runtime::v1::Container& container)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Change(runtime::v1::Container& container, absl::string_view action)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run(runtime::v1::Container& container) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void End(runtime::v1::Container& container, int code) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Clock& clock_;
  mutable absl::Mutex mu_;
  std::optional<absl::Time> missing_since_ ABSL_GUARDED_BY(mu_);
  bool canceled_ ABSL_GUARDED_BY(mu_) = false;
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<std::string, runtime::v1::Container> containers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> requests_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, runtime::v1::Network> networks_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, runtime::v1::Volume> volumes_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> images_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, absl::Status> failing_starts_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> lost_answers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> journal_ ABSL_GUARDED_BY(mu_);
  std::vector<runtime::v1::Event> events_ ABSL_GUARDED_BY(mu_);
  int64_t sequence_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace darse::scheduler
