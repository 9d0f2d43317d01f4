#include "services/runtime/snapshots/layer_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/archive/root_path.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

constexpr char kOpaque[] = "trusted.overlay.opaque";
constexpr char kMountPoints[] = "mount-points";
constexpr char kPrefix[] = "sha256:";
// After the name of what is not finished.
constexpr char kDraft[] = ".new";

absl::Status SetOpaque(int fs, const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd directory, archive::OpenStraight(fs, path, O_RDONLY | O_DIRECTORY));
  if (fsetxattr(directory.get(), kOpaque, "y", 1, 0) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("making \"", path, "\" opaque"));
  }
  return absl::OkStatus();
}

absl::Status MakeEmptyFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("making ", path));
  return absl::OkStatus();
}

}  // namespace

Staging::~Staging() { RemoveTree(path_).IgnoreError(); }

LayerDriver::LayerDriver(std::string root) : root_(std::move(root)) {}

absl::Status LayerDriver::Prepare() {
  for (absl::string_view name : {"layers", "snapshots", "staging"}) {
    std::string path = JoinPath(root_, name);
    RETURN_IF_ERROR(MakeDirectories(path, 0700));
    // Layers hold setuid programs and devices: nobody but root walks in.
    if (chmod(path.c_str(), 0700) != 0) return absl::ErrnoToStatus(errno, path);
  }
  std::string staging = JoinPath(root_, "staging");
  ASSIGN_OR_RETURN(std::vector<std::string> leftovers, ListDirectory(staging));
  for (const std::string& name : leftovers) {
    RETURN_IF_ERROR(RemoveTree(JoinPath(staging, name)));
  }
  std::string mount_points = MountPointsPath();
  for (absl::string_view name : {"dev/pts", "dev/shm", "proc", "sys", "etc"}) {
    RETURN_IF_ERROR(MakeDirectories(JoinPath(mount_points, name), 0755));
  }
  for (absl::string_view name : {"dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf"}) {
    RETURN_IF_ERROR(MakeEmptyFile(JoinPath(mount_points, name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Staging>> LayerDriver::MakeStaging() {
  std::string path = absl::StrCat(root_, "/staging/", next_.fetch_add(1));
  if (mkdir(path.c_str(), 0700) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("making directory ", path));
  }
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  return std::make_unique<Staging>(std::move(path), std::move(fd));
}

std::string LayerDriver::LayerPath(absl::string_view diff_id) const {
  return absl::StrCat(root_, "/layers/", absl::StripPrefix(diff_id, kPrefix));
}

std::string LayerDriver::FsPath(absl::string_view diff_id) const {
  return absl::StrCat(LayerPath(diff_id), "/fs");
}

std::string LayerDriver::MountPointsPath() const {
  return absl::StrCat(root_, "/layers/", kMountPoints, "/fs");
}

bool LayerDriver::HasLayer(absl::string_view diff_id) const { return Exists(LayerPath(diff_id)); }

absl::StatusOr<std::vector<std::string>> LayerDriver::ListLayers() const {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(JoinPath(root_, "layers")));
  std::vector<std::string> diff_ids;
  for (const std::string& name : names) {
    if (name != kMountPoints) diff_ids.push_back(absl::StrCat(kPrefix, name));
  }
  return diff_ids;
}

absl::Status LayerDriver::MarkOpaque(const std::string& directory,
                                     const std::vector<std::string>& opaque) const {
  if (opaque.empty()) return absl::OkStatus();
  std::string fs_path = JoinPath(directory, "fs");
  UniqueFd fs(open(fs_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fs.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", fs_path));
  for (const std::string& path : opaque) RETURN_IF_ERROR(SetOpaque(fs.get(), path));
  return absl::OkStatus();
}

absl::Status LayerDriver::Sync() const {
  UniqueFd root(open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", root_));
  if (syncfs(root.get()) != 0) return absl::ErrnoToStatus(errno, "making layers durable");
  return absl::OkStatus();
}

absl::Status LayerDriver::InstallLayer(const std::string& directory,
                                       absl::string_view diff_id) const {
  if (HasLayer(diff_id)) return absl::OkStatus();
  std::string path = LayerPath(diff_id);
  if (rename(directory.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("installing layer ", diff_id));
  }
  return SyncDirectory(JoinPath(root_, "layers"));
}

absl::StatusOr<std::unique_ptr<Staging>> LayerDriver::TakeLayer(absl::string_view diff_id) {
  return Take(LayerPath(diff_id));
}

std::string LayerDriver::UpperPath(absl::string_view snapshot_id) const {
  return absl::StrCat(root_, "/snapshots/", snapshot_id, "/upper");
}

std::string LayerDriver::WorkPath(absl::string_view snapshot_id) const {
  return absl::StrCat(root_, "/snapshots/", snapshot_id, "/work");
}

bool LayerDriver::HasSnapshot(absl::string_view snapshot_id) const {
  return Exists(UpperPath(snapshot_id));
}

absl::StatusOr<std::vector<std::string>> LayerDriver::ListSnapshots() const {
  return ListDirectory(JoinPath(root_, "snapshots"));
}

absl::Status LayerDriver::MakeSnapshot(absl::string_view snapshot_id,
                                       const std::string& like) const {
  std::string upper = UpperPath(snapshot_id);
  if (Exists(upper)) return absl::OkStatus();
  struct stat st;
  if (stat(like.c_str(), &st) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("reading ", like));
  RETURN_IF_ERROR(Anticipate(snapshot_id));
  const std::string draft = upper + kDraft;
  if (chown(draft.c_str(), st.st_uid, st.st_gid) != 0 ||
      chmod(draft.c_str(), st.st_mode & 07777) != 0 || rename(draft.c_str(), upper.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("setting up ", upper));
  }
  return absl::OkStatus();
}

absl::Status LayerDriver::Anticipate(absl::string_view snapshot_id) const {
  RETURN_IF_ERROR(MakeDirectories(WorkPath(snapshot_id), 0700));
  return MakeDirectories(UpperPath(snapshot_id) + kDraft);
}

absl::Status LayerDriver::RemoveSnapshot(absl::string_view snapshot_id) {
  return Take(absl::StrCat(root_, "/snapshots/", snapshot_id)).status();
}

absl::StatusOr<std::unique_ptr<Staging>> LayerDriver::Take(const std::string& path) {
  std::string away = absl::StrCat(root_, "/staging/", next_.fetch_add(1));
  if (rename(path.c_str(), away.c_str()) != 0) {
    if (errno == ENOENT) return nullptr;
    return absl::ErrnoToStatus(errno, absl::StrCat("removing ", path));
  }
  return std::make_unique<Staging>(std::move(away), UniqueFd());
}

absl::StatusOr<int64_t> LayerDriver::DiskUsage(absl::string_view snapshot_id) const {
  std::string upper = UpperPath(snapshot_id);
  char* roots[] = {upper.data(), nullptr};
  std::unique_ptr<FTS, int (*)(FTS*)> walk(fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, nullptr),
                                           fts_close);
  if (walk == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", upper));
  absl::flat_hash_set<ino_t> linked;
  int64_t bytes = 0;
  while (FTSENT* entry = fts_read(walk.get())) {
    if (entry->fts_info == FTS_DP || entry->fts_statp == nullptr) continue;
    // Files that a running container removes meanwhile do not count.
    if (entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR) continue;
    const struct stat& st = *entry->fts_statp;
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && !linked.insert(st.st_ino).second) continue;
    bytes += static_cast<int64_t>(st.st_blocks) * 512;
  }
  return bytes;
}

}  // namespace darse::runtime
