#include "services/runtime/volumes/volume_engine.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

using sqlite::Transaction;

constexpr char kContents[] = "_data";
constexpr size_t kLongestName = 200;
constexpr int64_t kBlockSize = 512;
// Deeper trees are not counted further down: each level holds a descriptor.
constexpr int kDeepest = 256;

absl::Status CheckVolumeName(absl::string_view name) {
  const bool known = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
  if (name.empty() || name.size() > kLongestName || !absl::ascii_isalnum(name[0]) || !known) {
    return absl::InvalidArgumentError(
        absl::StrCat("volume name \"", name, "\" must be of [a-zA-Z0-9_.-], a letter or digit ",
                     "first, ", kLongestName, " at most"));
  }
  return absl::OkStatus();
}

NewEvent VolumeEvent(absl::string_view action, const Volume& volume, absl::string_view actor) {
  return {.kind = "volume",
          .action = std::string(action),
          .id = volume.name,
          .attributes = {{"name", volume.name}},
          .actor = std::string(actor)};
}

absl::Status CheckUnused(const Volume& volume) {
  if (volume.container_ids.empty()) return absl::OkStatus();
  return WithReason(absl::FailedPreconditionError(absl::StrCat(
                        "volume \"", volume.name, "\" is used by ", volume.container_ids.size(),
                        " containers, the first is ", volume.container_ids.front().substr(0, 12))),
                    "VOLUME_IN_USE");
}

// Disk space below an open directory. Goes by descriptors: a container may change the tree
// meanwhile.
int64_t BytesBelow(UniqueFd directory, int depth) {
  DIR* dir = depth > kDeepest ? nullptr : fdopendir(directory.get());
  if (dir == nullptr) return 0;
  directory.Release();
  int64_t bytes = 0;
  while (const dirent* entry = readdir(dir)) {
    const absl::string_view name = entry->d_name;
    struct stat found;
    if (name == "." || name == ".." ||
        fstatat(dirfd(dir), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    bytes += found.st_blocks * kBlockSize;
    if (!S_ISDIR(found.st_mode)) continue;
    UniqueFd below(
        openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (below.valid()) bytes += BytesBelow(std::move(below), depth + 1);
  }
  closedir(dir);
  return bytes;
}

}  // namespace

VolumeEngine::VolumeEngine(sqlite::Database& db, EventLog& events, Clock& clock,
                           std::function<std::string()> new_id, std::string root)
    : db_(db), events_(events), clock_(clock), new_id_(std::move(new_id)), root_(std::move(root)) {}

std::string VolumeEngine::PathOf(absl::string_view name) const {
  return JoinPath(JoinPath(root_, name), kContents);
}

absl::Status VolumeEngine::Recover(const std::vector<std::string>& containers) {
  const std::set<std::string> known(containers.begin(), containers.end());
  std::vector<Volume> volumes;
  RETURN_IF_ERROR(db_.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(volumes, VolumeStore::List(tx));
    for (const Volume& volume : volumes) {
      for (const std::string& container : volume.container_ids) {
        if (!known.contains(container)) RETURN_IF_ERROR(VolumeStore::RemoveUses(tx, container));
      }
    }
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(MakeDirectories(root_, 0711));
  std::set<std::string> names;
  for (const Volume& volume : volumes) {
    names.insert(volume.name);
    RETURN_IF_ERROR(MakeDirectories(PathOf(volume.name)));
  }
  // A directory that no record knows holds somebody's files all the same, unless Remove put its
  // mark on it.
  ASSIGN_OR_RETURN(const std::vector<std::string> found, ListDirectory(root_));
  for (const std::string& name : found) {
    if (name[0] == '.') RETURN_IF_ERROR(RemoveTree(JoinPath(root_, name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Volume> VolumeEngine::Ensure(absl::string_view name, bool anonymous,
                                            const std::map<std::string, std::string>& labels,
                                            absl::string_view actor) {
  const std::string chosen = name.empty() ? new_id_() : std::string(name);
  RETURN_IF_ERROR(CheckVolumeName(chosen));
  Volume volume;
  const auto find = [&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(volume, VolumeStore::Get(tx, chosen));
    return absl::OkStatus();
  };
  const absl::Status there = db_.Read(find);
  if (absl::IsNotFound(there)) {
    RETURN_IF_ERROR(db_.Write([&](Transaction& tx) -> absl::Status {
      const absl::Status now = find(tx);
      if (!absl::IsNotFound(now)) return now;
      volume = {
          .name = chosen, .labels = labels, .created_at = clock_.Now(), .anonymous = anonymous};
      RETURN_IF_ERROR(VolumeStore::Insert(tx, volume));
      return events_.Append(tx, VolumeEvent("create", volume, actor));
    }));
  } else {
    RETURN_IF_ERROR(there);
  }
  volume.mountpoint = PathOf(chosen);
  // Also for an existing record: a crash may have come between the two.
  if (!Exists(volume.mountpoint)) {
    RETURN_IF_ERROR(Annotate(MakeDirectories(volume.mountpoint), "making a volume"));
  }
  return volume;
}

absl::StatusOr<Volume> VolumeEngine::Create(absl::string_view name,
                                            const std::map<std::string, std::string>& labels,
                                            absl::string_view actor) {
  ASSIGN_OR_RETURN(const Volume volume, Ensure(name, false, labels, actor));
  if (volume.labels != labels) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is a volume \"", name, "\" with other labels"));
  }
  return volume;
}

absl::StatusOr<Volume> VolumeEngine::Get(absl::string_view name) {
  Volume volume;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(volume, VolumeStore::Get(tx, name));
    return absl::OkStatus();
  }));
  volume.mountpoint = PathOf(volume.name);
  return volume;
}

absl::StatusOr<std::vector<Volume>> VolumeEngine::List() {
  std::vector<Volume> volumes;
  RETURN_IF_ERROR(db_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(volumes, VolumeStore::List(tx));
    return absl::OkStatus();
  }));
  for (Volume& volume : volumes) volume.mountpoint = PathOf(volume.name);
  return volumes;
}

// The rename frees the name at once; a crash before the tree is gone leaves a dotted directory for
// Recover.
absl::Status VolumeEngine::Remove(const std::string& name) {
  const std::string directory = JoinPath(root_, name);
  const std::string doomed = JoinPath(root_, absl::StrCat(".", new_id_()));
  if (rename(directory.c_str(), doomed.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return absl::ErrnoToStatus(errno, absl::StrCat("deleting volume \"", name, "\""));
  }
  return Annotate(RemoveTree(doomed), absl::StrCat("deleting volume \"", name, "\""));
}

// A crash between the two steps leaves the files; a volume made under the same name finds them.
absl::Status VolumeEngine::Delete(absl::string_view name, absl::string_view actor) {
  RETURN_IF_ERROR(db_.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Volume volume, VolumeStore::Get(tx, name));
    RETURN_IF_ERROR(CheckUnused(volume));
    RETURN_IF_ERROR(VolumeStore::Delete(tx, name));
    return events_.Append(tx, VolumeEvent("destroy", volume, actor));
  }));
  return Remove(std::string(name));
}

absl::StatusOr<std::vector<std::string>> VolumeEngine::Prune(bool all, absl::string_view actor) {
  ASSIGN_OR_RETURN(const std::vector<Volume> volumes, List());
  std::vector<std::string> deleted;
  for (const Volume& volume : volumes) {
    if (!volume.container_ids.empty() || !(all || volume.anonymous)) continue;
    const absl::Status status = Delete(volume.name, actor);
    // Somebody was faster: took it into use, or deleted it.
    if (absl::IsFailedPrecondition(status) || absl::IsNotFound(status)) continue;
    RETURN_IF_ERROR(status);
    deleted.push_back(volume.name);
  }
  return deleted;
}

absl::Status VolumeEngine::AddUse(absl::string_view name, absl::string_view container_id) {
  return db_.Write([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(VolumeStore::Get(tx, name).status());
    return VolumeStore::AddUse(tx, name, container_id);
  });
}

absl::StatusOr<std::function<absl::Status()>> VolumeEngine::RemoveUses(
    Transaction& tx, absl::string_view container_id, bool delete_anonymous,
    absl::string_view actor) {
  std::vector<std::string> orphans;
  // Most containers use none.
  ASSIGN_OR_RETURN(const bool any, VolumeStore::UsesAny(tx, container_id));
  if (any) {
    ASSIGN_OR_RETURN(const std::vector<Volume> volumes, VolumeStore::List(tx));
    RETURN_IF_ERROR(VolumeStore::RemoveUses(tx, container_id));
    for (const Volume& volume : volumes) {
      if (!delete_anonymous || !volume.anonymous ||
          volume.container_ids != std::vector<std::string>{std::string(container_id)}) {
        continue;
      }
      RETURN_IF_ERROR(VolumeStore::Delete(tx, volume.name));
      RETURN_IF_ERROR(events_.Append(tx, VolumeEvent("destroy", volume, actor)));
      orphans.push_back(volume.name);
    }
  }
  return [this, orphans = std::move(orphans)]() -> absl::Status {
    for (const std::string& name : orphans) RETURN_IF_ERROR(Remove(name));
    return absl::OkStatus();
  };
}

absl::StatusOr<int64_t> VolumeEngine::Usage() {
  ASSIGN_OR_RETURN(const std::vector<Volume> volumes, List());
  int64_t bytes = 0;
  for (const Volume& volume : volumes) {
    UniqueFd directory(open(volume.mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory.valid()) bytes += BytesBelow(std::move(directory), 0);
  }
  return bytes;
}

}  // namespace darse::runtime
