// A builder in memory. Builds end when told to.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "services/scheduler/peers/builder.h"
#include "services/scheduler/peers/fake_runtime.h"

namespace darse::scheduler {

// Thread-safe.
class FakeBuilder final : public Builder {
 public:
  // Finished images appear in `runtime`.
  FakeBuilder(FakeRuntime& runtime, Clock& clock) : runtime_(runtime), clock_(clock) {}

  void GoAway();
  void ComeBack();
  // Of builds made from now on; empty: they succeed.
  void FailWith(const std::string& error);
  // Builds run until Release().
  void Hold();
  void Release();
  std::vector<builder::v1::BuildSpec> builds() const;
  std::set<std::string> contexts() const;

  std::optional<absl::Time> MissingSince() const override;
  absl::StatusOr<bool> HasContext(absl::string_view digest) override;
  absl::Status UploadContext(absl::string_view digest, absl::string_view path) override;
  absl::StatusOr<builder::v1::Build> CreateBuild(const builder::v1::BuildSpec& spec,
                                                 absl::string_view request_id) override;
  absl::StatusOr<builder::v1::Build> GetBuild(absl::string_view id) override;
  absl::Status WatchBuild(
      absl::string_view id, int64_t after_sequence,
      const std::function<void(const builder::v1::BuildEvent&)>& on_event) override;
  void Cancel() override;

 private:
  absl::Status Enter() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  FakeRuntime& runtime_;
  Clock& clock_;
  mutable absl::Mutex mu_;
  std::optional<absl::Time> missing_since_ ABSL_GUARDED_BY(mu_);
  bool canceled_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  std::string error_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> contexts_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, builder::v1::Build> builds_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> requests_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> order_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::scheduler
