#include "services/scheduler/peers/fake_builder.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::scheduler {

using builder::v1::Build;

void FakeBuilder::GoAway() {
  absl::MutexLock lock(&mu_);
  missing_since_ = clock_.Now();
}

void FakeBuilder::ComeBack() {
  absl::MutexLock lock(&mu_);
  missing_since_.reset();
}

void FakeBuilder::FailWith(const std::string& error) {
  absl::MutexLock lock(&mu_);
  error_ = error;
}

void FakeBuilder::Hold() {
  absl::MutexLock lock(&mu_);
  held_ = true;
}

void FakeBuilder::Release() {
  absl::MutexLock lock(&mu_);
  held_ = false;
}

std::vector<builder::v1::BuildSpec> FakeBuilder::builds() const {
  absl::MutexLock lock(&mu_);
  std::vector<builder::v1::BuildSpec> specs;
  for (const std::string& id : order_) specs.push_back(builds_.at(id).spec());
  return specs;
}

std::set<std::string> FakeBuilder::contexts() const {
  absl::MutexLock lock(&mu_);
  return contexts_;
}

absl::Status FakeBuilder::Enter() const {
  if (missing_since_ || canceled_) return absl::UnavailableError("builder is missing");
  return absl::OkStatus();
}

std::optional<absl::Time> FakeBuilder::MissingSince() const {
  absl::MutexLock lock(&mu_);
  return missing_since_;
}

absl::StatusOr<bool> FakeBuilder::HasContext(absl::string_view digest) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  return contexts_.contains(std::string(digest));
}

absl::Status FakeBuilder::UploadContext(absl::string_view digest, absl::string_view) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  contexts_.insert(std::string(digest));
  return absl::OkStatus();
}

absl::StatusOr<Build> FakeBuilder::CreateBuild(const builder::v1::BuildSpec& spec,
                                               absl::string_view request_id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  const auto before = requests_.find(std::string(request_id));
  if (before != requests_.end()) return builds_.at(before->second);
  Build build;
  build.set_id(absl::StrCat("build", builds_.size() + 1));
  *build.mutable_spec() = spec;
  build.set_state(builder::v1::BUILD_STATE_RUNNING);
  requests_[std::string(request_id)] = build.id();
  order_.push_back(build.id());
  builds_[build.id()] = build;
  return build;
}

absl::StatusOr<Build> FakeBuilder::GetBuild(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Enter());
  const auto found = builds_.find(std::string(id));
  if (found == builds_.end()) return absl::NotFoundError("no such build");
  return found->second;
}

absl::Status FakeBuilder::WatchBuild(
    absl::string_view id, int64_t,
    const std::function<void(const builder::v1::BuildEvent&)>& on_event) {
  Build done;
  {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(Enter());
    const auto found = builds_.find(std::string(id));
    if (found == builds_.end()) return absl::NotFoundError("no such build");
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return canceled_ || missing_since_ || !held_;
    };
    mu_.Await(absl::Condition(&ready));
    RETURN_IF_ERROR(Enter());
    Build& build = found->second;
    build.set_error(error_);
    build.set_state(error_.empty() ? builder::v1::BUILD_STATE_SUCCEEDED
                                   : builder::v1::BUILD_STATE_FAILED);
    if (error_.empty()) build.set_image_id(absl::StrCat("sha256:", id));
    done = build;
  }
  if (!done.image_id().empty()) {
    for (const std::string& tag : done.spec().tags()) runtime_.AddImage(tag, done.image_id());
  }
  builder::v1::BuildEvent event;
  *event.mutable_build() = done;
  on_event(event);
  return absl::OkStatus();
}

void FakeBuilder::Cancel() {
  absl::MutexLock lock(&mu_);
  canceled_ = true;
}

}  // namespace darse::scheduler
