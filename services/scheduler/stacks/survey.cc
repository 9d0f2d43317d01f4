#include "services/scheduler/stacks/survey.h"

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/scheduler/stacks/container_config.h"

namespace darse::scheduler {
namespace {

std::string Since(absl::string_view peer, const std::optional<absl::Time>& time) {
  if (!time) return "";
  return absl::StrCat(peer, " since ", absl::FormatTime("%H:%M:%S", *time, absl::LocalTimeZone()));
}

}  // namespace

std::string Survey::RuntimeMissing() const { return Since("runtime", runtime_.MissingSince()); }
std::string Survey::BuilderMissing() const { return Since("builder", builder_.MissingSince()); }

std::string Survey::FindImage(const std::string& reference, bool* missing) {
  const Observed seen = cache_.Snapshot();
  const auto known = seen.images.find(reference);
  if (seen.synced && known != seen.images.end()) {
    *missing = known->second.empty();
    return known->second;
  }
  *missing = false;
  if (runtime_.MissingSince()) return "";
  absl::StatusOr<std::string> id = runtime_.FindImage(reference);
  if (id.ok()) {
    cache_.PutImage(reference, *id);
    return *id;
  }
  if (absl::IsNotFound(id.status())) {
    *missing = true;
    cache_.PutImage(reference, "");
  }
  return "";
}

ImageState Survey::BuiltImage(const ServiceRecord& record, const v1::ServiceSpec& service) {
  ImageState state{.needs_build = true, .build_reason = "not built yet"};
  if (record.build_key != BuildKey(service.build(), record.rebuild)) {
    if (!record.build_key.empty()) state.build_reason = "what it is built from changed";
    return state;
  }
  if (!record.build_error.empty()) {
    state.build_error = record.build_error;
    return state;
  }
  if (record.build_image_id.empty()) return state;
  bool missing = false;
  FindImage(record.build_image_id, &missing);
  state.id = record.build_image_id;
  state.needs_build = missing;
  if (missing) state.build_reason = "its image was deleted";
  return state;
}

ImageState Survey::ImageOf(const DesiredStack& desired, const v1::ServiceSpec& service) {
  const auto found = desired.services.find(service.name());
  const ServiceRecord record = found == desired.services.end() ? ServiceRecord{} : found->second;
  if (service.has_build()) return BuiltImage(record, service);
  ImageState state{.id = record.image_id};
  if (!state.id.empty()) return state;
  bool missing = false;
  state.id = FindImage(service.container().image(), &missing);
  if (missing) {
    state.missing = absl::StrCat(
        "no image ", service.container().image(),
        " here: load, bootstrap or build it (darse load, darse image bootstrap, darse build)");
  }
  return state;
}

std::map<std::string, ImageState> Survey::Images(const DesiredStack& desired) {
  std::map<std::string, ImageState> images;
  for (const v1::ServiceSpec& service : desired.spec.services()) {
    images[service.name()] = ImageOf(desired, service);
  }
  return images;
}

Plan Survey::PlanFor(const DesiredStack& desired) {
  std::map<std::string, ImageState> images;
  if (!desired.removing) images = Images(desired);
  const Observed observed = cache_.Snapshot();
  std::string runtime_missing = RuntimeMissing();
  // It is there, but what it has is not known yet.
  if (runtime_missing.empty() && !observed.synced)
    runtime_missing = "the runtime's list of containers";
  return MakePlan({.desired = desired,
                   .observed = observed,
                   .images = images,
                   .runtime_missing = runtime_missing,
                   .builder_missing = BuilderMissing()});
}

}  // namespace darse::scheduler
