#include "services/runtime/snapshots/commit_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "libs/archive/layer_diff.h"
#include "libs/archive/recipe.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

class DigestSink final : public archive::ChunkSink {
 public:
  absl::Status Write(absl::string_view bytes) override {
    digest.Update(bytes);
    return absl::OkStatus();
  }
  oci::DigestStream digest;
};

absl::StatusOr<bool> LooksTheSame(const std::string& a, const std::string& b) {
  struct stat first, second;
  if (stat(a.c_str(), &first) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", a));
  if (stat(b.c_str(), &second) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", b));
  return first.st_mode == second.st_mode && first.st_uid == second.st_uid &&
         first.st_gid == second.st_gid;
}

}  // namespace

absl::StatusOr<std::optional<PackedLayer>> PackLayer(const PackRequest& request) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(request.upper));
  ASSIGN_OR_RETURN(bool same_root, LooksTheSame(request.upper, request.parent_root));
  if (names.empty() && same_root) return std::nullopt;

  UniqueFd upper(open(request.upper.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!upper.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", request.upper));
  RETURN_IF_ERROR(MakeDirectories(JoinPath(request.staging, "orphans"), 0700));
  std::string recipe_path = JoinPath(request.staging, "recipe");
  UniqueFd recipe_file(open(recipe_path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!recipe_file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("making ", recipe_path));
  archive::RecipeWriter recipe(recipe_file.get());
  DigestSink sink;
  ASSIGN_OR_RETURN(
      archive::LayerDiffTotals totals,
      archive::WriteLayerDiff(upper.get(),
                              {.clamp_seconds = request.clamp_seconds, .recipe = &recipe}, sink));
  RETURN_IF_ERROR(recipe.Finish());
  std::string fs = JoinPath(request.staging, "fs");
  if (rename(request.upper.c_str(), fs.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("moving ", request.upper));
  }
  return PackedLayer{
      .diff_id = sink.digest.Finish(), .tar_bytes = totals.tar_bytes, .bytes = totals.bytes};
}

}  // namespace darse::runtime
