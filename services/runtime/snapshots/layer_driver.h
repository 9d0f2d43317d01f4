// Layers and snapshots on disk.
//
//   <root>/layers/<hex of diff id>/fs       an unpacked layer, overlay form (whiteouts are 0/0
//   devices), immutable <root>/layers/<hex of diff id>/recipe   how to write its tar again, with
//   orphans/ beside (libs/archive/recipe.h) <root>/layers/mount-points/fs           the lowest
//   layer of every snapshot: empty /dev, /proc, /etc/hosts, … <root>/snapshots/<id>/{upper,work}
//   <root>/staging/<n>                      what is being made or removed; emptied at start
//
// All on one file system, so that a rename makes a thing visible or takes it away.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/digest.h"

namespace darse::runtime {

// A directory in staging/ that is removed with this object.
class Staging {
 public:
  Staging(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }

 private:
  std::string path_;
  UniqueFd fd_;
};

// Thread-safe; who installs and who removes the same layer must not do so at the same time.
class LayerDriver {
 public:
  explicit LayerDriver(std::string root);

  // Makes the directories and empties staging/.
  absl::Status Prepare();
  absl::StatusOr<std::unique_ptr<Staging>> MakeStaging();

  // Of layers that exist.
  std::string LayerPath(absl::string_view diff_id) const;
  std::string FsPath(absl::string_view diff_id) const;
  std::string MountPointsPath() const;
  bool HasLayer(absl::string_view diff_id) const;
  absl::StatusOr<std::vector<std::string>> ListLayers() const;
  // Marks directories of a staged layer's fs/ that hide what lies below them.
  absl::Status MarkOpaque(const std::string& directory,
                          const std::vector<std::string>& opaque) const;
  // All that was written so far survives a power cut.
  absl::Status Sync() const;
  // `directory` (fs, recipe, orphans) becomes the layer, unless there is one with that content
  // already.
  absl::Status InstallLayer(const std::string& directory, absl::string_view diff_id) const;
  // Takes the layer away; what it was goes with the answer, which is null if there was none.
  absl::StatusOr<std::unique_ptr<Staging>> TakeLayer(absl::string_view diff_id);
  absl::Status RemoveLayer(absl::string_view diff_id) { return TakeLayer(diff_id).status(); }

  std::string UpperPath(absl::string_view snapshot_id) const;
  std::string WorkPath(absl::string_view snapshot_id) const;
  bool HasSnapshot(absl::string_view snapshot_id) const;
  absl::StatusOr<std::vector<std::string>> ListSnapshots() const;
  // OK if it is there. The root of the file system looks as in `like`, a layer's fs.
  absl::Status MakeSnapshot(absl::string_view snapshot_id, const std::string& like) const;
  // The directories that MakeSnapshot makes, but for their looks: HasSnapshot is still false.
  absl::Status Anticipate(absl::string_view snapshot_id) const;
  absl::Status RemoveSnapshot(absl::string_view snapshot_id);
  absl::StatusOr<int64_t> DiskUsage(absl::string_view snapshot_id) const;

 private:
  absl::StatusOr<std::unique_ptr<Staging>> Take(const std::string& path);

  const std::string root_;
  std::atomic<uint64_t> next_{0};
};

}  // namespace darse::runtime
