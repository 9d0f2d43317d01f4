// Makes the files that a tar describes below a directory. Names, link targets and numbers are a
// stranger's: nothing is made, changed or read outside of that directory.
//
//   name with ".."                   refused
//   absolute name                    taken as below the root
//   name through a symlink           follows it inside the root, an absolute one too
//   relative symlink out of the root refused
//   hard link                        its target must exist below the root
//   trusted.overlay.* attributes     refused: they would steer the mount
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/recipe.h"

namespace darse::archive {

struct UnpackOptions {
  // The tar is an image's layer: ".wh.x" becomes a 0/0 device x, ".wh..wh..opq" is told in
  // UnpackTotals. Otherwise such names are ordinary, and a directory member keeps a symlink to a
  // directory that is in its place.
  bool layer = true;
  // A clean path that goes before every name; it must exist.
  std::string prefix;
  // For every member, instead of the tar's.
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  // Permission bits for files and directories; 0: the tar's.
  uint32_t mode = 0;
  // Where to note how to write the tar again, and the directory for what later members replaced;
  // both or neither.
  RecipeWriter* recipe = nullptr;
  int orphans = -1;
};

struct UnpackTotals {
  int64_t entries = 0;
  // Of the contents of files.
  int64_t bytes = 0;
  // Directories that hide what lies below them: the caller, who may, sets trusted.overlay.opaque.
  std::vector<std::string> opaque;
};

// INVALID_ARGUMENT for a damaged or hostile tar, RESOURCE_EXHAUSTED for a full disk. After an error
// the directory holds what came before it.
absl::StatusOr<UnpackTotals> Unpack(ChunkSource& tar, int root, const UnpackOptions& options);

}  // namespace darse::archive
