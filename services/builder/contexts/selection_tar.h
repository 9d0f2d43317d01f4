// The tar that carries selected files of a context to the runtime; contents come from the context's
// own tar.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libs/archive/chunk_source.h"
#include "services/builder/contexts/copy_selection.h"

namespace darse::builder {

// One thread only.
class SelectionTar final : public archive::ChunkSource {
 public:
  // `context_fd` is not owned. With `all_directories` every directory has an entry; otherwise those
  // are left out that whoever unpacks makes in the same way (mode 0755 and not empty), so that a
  // directory that is there keeps its mode.
  SelectionTar(const Selection& selection, int context_fd, bool all_directories);
  absl::StatusOr<absl::string_view> Next() override;

 private:
  bool IsLeftOut(size_t index) const;

  const Selection& selection_;
  const int context_fd_;
  const bool all_directories_;
  size_t next_ = 0;
  int64_t content_offset_ = 0;
  int64_t content_left_ = 0;
  bool ended_ = false;
  std::string buffer_;
};

// Of files given as name and content, mode 0644.
std::string InlineTar(const std::vector<std::pair<std::string, std::string>>& files, int64_t mtime);

}  // namespace darse::builder
