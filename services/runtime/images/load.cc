#include "services/runtime/images/load.h"

#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/archive/recipe.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/image_config.h"
#include "libs/os/files.h"
#include "services/runtime/images/load_plan.h"

namespace darse::runtime {
namespace {

// Opened without following: the child wrote what is there.
absl::StatusOr<UniqueFd> OpenMember(const Staging& staging, const std::string& name) {
  UniqueFd fd(openat(staging.fd(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening member ", name));
  return fd;
}

absl::StatusOr<StagedLayer> Stage(const Staging& staging, const UnpackedLayer& layer) {
  std::string name = absl::StrCat(layer.number);
  ASSIGN_OR_RETURN(UniqueFd recipe, OpenMember(staging, absl::StrCat(name, "/recipe")));
  ASSIGN_OR_RETURN(int64_t tar_bytes, archive::RecipeSize(recipe.get()));
  return StagedLayer{.directory = JoinPath(staging.path(), name),
                     .diff_id = layer.diff_id,
                     .bytes = layer.bytes,
                     .tar_bytes = tar_bytes,
                     .opaque = layer.opaque};
}

}  // namespace

absl::StatusOr<std::unique_ptr<LoadSession>> LoadSession::Start(ImageEngine& images) {
  SnapshotEngine& snapshots = images.snapshots();
  ASSIGN_OR_RETURN(std::unique_ptr<Staging> staging, snapshots.driver().MakeStaging());
  std::unique_ptr<LoadSession> session(new LoadSession(images, std::move(staging)));
  ASSIGN_OR_RETURN(session->child_, UnpackChild::Start(snapshots.unpack_program(), {"archive"},
                                                       session->staging_->fd()));
  return session;
}

absl::StatusOr<std::vector<std::string>> LoadSession::Finish(absl::string_view actor) {
  ASSIGN_OR_RETURN(UnpackReport report, child_->Finish());
  auto read_blob = [this](int number) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenMember(*staging_, absl::StrCat(number)));
    return ReadFd(fd.get());
  };
  ASSIGN_OR_RETURN(LoadPlan plan, PlanLoad(report, read_blob));
  std::vector<StagedLayer> staged;
  for (const UnpackedLayer& layer : plan.layers) {
    ASSIGN_OR_RETURN(StagedLayer one, Stage(*staging_, layer));
    staged.push_back(std::move(one));
  }
  return images_.Register(staged, plan.images, "load", actor);
}

absl::StatusOr<std::unique_ptr<ImportSession>> ImportSession::Start(ImageEngine& images,
                                                                    ImportRequest request) {
  if (!request.reference.empty()) RETURN_IF_ERROR(FullNames({request.reference}).status());
  // Refused before the archive comes rather than after.
  RETURN_IF_ERROR(oci::MakeImageConfig({.config_json = request.config_json}).status());
  SnapshotEngine& snapshots = images.snapshots();
  ASSIGN_OR_RETURN(std::unique_ptr<Staging> staging, snapshots.driver().MakeStaging());
  std::unique_ptr<ImportSession> session(
      new ImportSession(images, std::move(request), std::move(staging)));
  ASSIGN_OR_RETURN(session->child_, UnpackChild::Start(snapshots.unpack_program(), {"layer"},
                                                       session->staging_->fd()));
  return session;
}

absl::StatusOr<std::string> ImportSession::Finish(absl::Time created, absl::string_view actor) {
  ASSIGN_OR_RETURN(UnpackReport report, child_->Finish());
  auto layer = report.layers.find("");
  if (layer == report.layers.end()) return absl::InternalError("the unpacker made no layer");
  ASSIGN_OR_RETURN(StagedLayer staged, Stage(*staging_, layer->second));
  std::string time = absl::FormatTime(absl::RFC3339_full, created, absl::UTCTimeZone());
  ASSIGN_OR_RETURN(std::string config,
                   oci::MakeImageConfig({.config_json = request_.config_json,
                                         .created = time,
                                         .architecture = oci::HostArchitecture(),
                                         .os = "linux",
                                         .diff_ids = {staged.diff_id},
                                         .history = {{.created = time,
                                                      .created_by = "darse image import",
                                                      .comment = request_.message}}}));
  std::vector<std::string> names;
  if (!request_.reference.empty()) names.push_back(request_.reference);
  ASSIGN_OR_RETURN(names, FullNames(names));
  ASSIGN_OR_RETURN(
      std::vector<std::string> ids,
      images_.Register({staged}, {{.config_json = config, .references = names}}, "import", actor));
  return ids[0];
}

}  // namespace darse::runtime
