// Whether a file of a context is an archive that ADD unpacks: a tar, plain or compressed.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "libs/archive/chunk_source.h"
#include "services/builder/contexts/context_files.h"

namespace darse::builder {

// A file's content, read from the context's tar. One thread only.
class ContentOfFile final : public archive::ChunkSource {
 public:
  // `context_fd` is not owned.
  ContentOfFile(const ContextFile& file, int context_fd)
      : context_fd_(context_fd), offset_(file.offset), left_(file.size) {}
  absl::StatusOr<absl::string_view> Next() override;

 private:
  const int context_fd_;
  int64_t offset_;
  int64_t left_;
  std::string buffer_;
};

absl::StatusOr<bool> IsArchive(const ContextFile& file, int context_fd);

}  // namespace darse::builder
