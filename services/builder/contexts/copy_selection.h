// What a COPY of these sources reads from a context, under which names it arrives, and a digest
// over that: pure.
//
//   a file            arrives under its own name
//   a directory       its contents arrive, not the directory itself
//   a*.txt            Go's filepath.Match; whatever matches, each by the rules above
//   a symlink         is followed if it is named itself; inside a directory it stays a symlink
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/builder/contexts/context_files.h"

namespace darse::builder {

struct SelectedFile {
  // Below the destination.
  std::string target;
  ContextFile file;
  // A source itself, as against something in a directory that is one.
  bool named = false;
};

struct Selection {
  std::vector<SelectedFile> files;
  // The one source is a single file: it becomes the destination itself unless that is a directory.
  bool single_file = false;
};

// `sources` are clean and absolute below the context. NOT_FOUND for one that matches nothing.
absl::StatusOr<Selection> Select(const ContextFiles& files,
                                 const std::vector<std::string>& sources);

// Over targets, types, modes, contents; not times.
std::string DigestOf(const Selection& selection);

}  // namespace darse::builder
