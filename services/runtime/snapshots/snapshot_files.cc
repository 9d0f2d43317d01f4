#include "services/runtime/snapshots/snapshot_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/archive/root_path.h"
#include "libs/base/status_macros.h"
#include "libs/linux/mount/overlay.h"
#include "libs/os/files.h"
#include "services/runtime/containers/user_lookup.h"
#include "services/runtime/snapshots/copy_tree.h"
#include "services/runtime/snapshots/path_match.h"

namespace darse::runtime {
namespace {

constexpr off_t kMaxRead = 4 << 20;

struct OwnerIds {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

absl::StatusOr<UniqueFd> OpenReadOnly(const std::vector<std::string>& lower_dirs) {
  // Overlay wants two directories; one needs no overlay.
  if (lower_dirs.size() > 1) return mnt::MakeOverlay({.lower_dirs = lower_dirs});
  UniqueFd fd(open(lower_dirs[0].c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", lower_dirs[0]));
  return fd;
}

absl::StatusOr<std::string> ReadRegular(int root, absl::string_view path) {
  ASSIGN_OR_RETURN(UniqueFd found, archive::OpenInRoot(root, path, O_PATH));
  struct stat st;
  if (fstat(found.get(), &st) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
  if (!S_ISREG(st.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("\"", path, "\" is no regular file"));
  }
  if (st.st_size > kMaxRead) {
    return absl::OutOfRangeError(absl::StrCat("\"", path, "\" is larger than 4 MiB"));
  }
  ASSIGN_OR_RETURN(UniqueFd file, archive::OpenInRoot(root, path, O_RDONLY | O_NONBLOCK));
  return ReadFd(file.get());
}

absl::StatusOr<std::string> ReadOrEmpty(int root, absl::string_view path) {
  absl::StatusOr<std::string> text = ReadRegular(root, path);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

absl::StatusOr<OwnerIds> LookUpOwner(int root, const OwnerNames& owner) {
  ASSIGN_OR_RETURN(std::string passwd, ReadOrEmpty(root, "/etc/passwd"));
  ASSIGN_OR_RETURN(std::string group, ReadOrEmpty(root, "/etc/group"));
  std::string user = owner.user.empty() ? "0" : owner.user;
  bool numbers_only = user.find_first_not_of("0123456789") == std::string::npos;
  if (!owner.group.empty()) {
    absl::StrAppend(&user, ":", owner.group);
  } else if (numbers_only) {
    // As Docker: the group of a bare number is that same number.
    user = absl::StrCat(user, ":", user);
  }
  ASSIGN_OR_RETURN(ResolvedUser resolved, LookUpUser(user, {}, passwd, group));
  return OwnerIds{resolved.uid, resolved.gid};
}

absl::Status CheckMode(uint32_t mode) {
  if (mode <= 07777) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("mode ", mode, " is out of range"));
}

absl::Status CheckDestination(absl::string_view destination) {
  if (absl::StartsWith(destination, "/")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("destination \"", destination, "\" is relative"));
}

}  // namespace

absl::StatusOr<UniqueFd> SnapshotFiles::OpenLayers(absl::string_view chain_id) {
  ASSIGN_OR_RETURN(std::vector<std::string> lower_dirs, snapshots_.LowerDirs(chain_id));
  if (lower_dirs.empty()) return absl::InvalidArgumentError("no layer is named");
  return OpenReadOnly(lower_dirs);
}

absl::StatusOr<UniqueFd> SnapshotFiles::OpenForWriting(absl::string_view snapshot_id) {
  RETURN_IF_ERROR(snapshots_.CheckNotRunning(snapshot_id));
  ASSIGN_OR_RETURN(SnapshotDirs dirs, snapshots_.Get(snapshot_id));
  return mnt::MakeOverlay({.lower_dirs = std::move(dirs.lower_dirs),
                           .upper_dir = std::move(dirs.upper_dir),
                           .work_dir = std::move(dirs.work_dir)});
}

absl::StatusOr<std::unique_ptr<WriteSession>> SnapshotFiles::StartWrite(
    const WriteRequest& request) {
  RETURN_IF_ERROR(CheckMode(request.mode));
  RETURN_IF_ERROR(CheckDestination(request.destination));
  if (request.keep_owners && request.owner) {
    return absl::InvalidArgumentError("keep_owners excludes owner");
  }
  ASSIGN_OR_RETURN(UniqueFd root, OpenForWriting(request.snapshot_id));
  std::vector<std::string> args = {"files", absl::StrCat("--prefix=", request.destination)};
  if (!request.keep_owners) {
    OwnerIds ids;
    if (request.owner) {
      ASSIGN_OR_RETURN(ids, LookUpOwner(root.get(), *request.owner));
    }
    args.push_back(absl::StrCat("--uid=", ids.uid));
    args.push_back(absl::StrCat("--gid=", ids.gid));
  }
  if (request.mode != 0) args.push_back(absl::StrCat("--mode=", request.mode));
  if (request.detect_compression) args.push_back("--decompress");
  ASSIGN_OR_RETURN(std::unique_ptr<UnpackChild> child,
                   UnpackChild::Start(snapshots_.unpack_program(), std::move(args), root.get()));
  return std::make_unique<WriteSession>(std::move(root), std::move(child));
}

absl::Status SnapshotFiles::Copy(const CopyRequest& request) {
  RETURN_IF_ERROR(CheckMode(request.mode));
  RETURN_IF_ERROR(CheckDestination(request.destination));
  ASSIGN_OR_RETURN(UniqueFd source, OpenLayers(request.source_chain_id));
  ASSIGN_OR_RETURN(std::vector<std::string> paths, FindPaths(source.get(), request.sources));
  ASSIGN_OR_RETURN(UniqueFd target, OpenForWriting(request.snapshot_id));
  CopyOptions options{.destination = request.destination, .mode = request.mode};
  if (request.owner) {
    ASSIGN_OR_RETURN(OwnerIds ids, LookUpOwner(target.get(), *request.owner));
    options.uid = ids.uid;
    options.gid = ids.gid;
  }
  return CopyTree(source.get(), paths, target.get(), options);
}

absl::StatusOr<std::string> SnapshotFiles::Digest(absl::string_view chain_id,
                                                  const std::vector<std::string>& paths) {
  ASSIGN_OR_RETURN(UniqueFd source, OpenLayers(chain_id));
  ASSIGN_OR_RETURN(std::vector<std::string> found, FindPaths(source.get(), paths));
  return DigestTree(source.get(), found);
}

absl::StatusOr<std::string> SnapshotFiles::ReadFromLayers(absl::string_view chain_id,
                                                          absl::string_view path) {
  ASSIGN_OR_RETURN(UniqueFd root, OpenLayers(chain_id));
  return ReadRegular(root.get(), path);
}

absl::StatusOr<std::string> SnapshotFiles::ReadFromSnapshot(absl::string_view snapshot_id,
                                                            absl::string_view path) {
  ASSIGN_OR_RETURN(SnapshotDirs dirs, snapshots_.Get(snapshot_id));
  // The writable directory as topmost layer: so it may be read while a container runs over it.
  std::vector<std::string> lower_dirs = {dirs.upper_dir};
  lower_dirs.insert(lower_dirs.end(), dirs.lower_dirs.begin(), dirs.lower_dirs.end());
  ASSIGN_OR_RETURN(UniqueFd root, OpenReadOnly(lower_dirs));
  return ReadRegular(root.get(), path);
}

}  // namespace darse::runtime
