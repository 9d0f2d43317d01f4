// A build context as the tar that was sent: which files it holds and where their contents lie in
// it. Untrusted: paths are cleaned, nothing is unpacked here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::builder {

enum class FileType { kFile = 1, kDirectory = 2, kSymlink = 3 };

struct ContextFile {
  FileType type = FileType::kFile;
  uint32_t mode = 0644;
  int64_t size = 0;
  int64_t mtime = 0;
  // Of the content in the tar.
  int64_t offset = 0;
  // Of a symlink.
  std::string link;
  // Digest of a file's content.
  std::string content;
};

// By clean path without a first "/"; directories that the tar only implies are in it too, the
// context itself is not.
using ContextFiles = std::map<std::string, ContextFile>;

// Reads the tar from `fd`'s beginning. INVALID_ARGUMENT for a damaged tar, a path with "..", a
// device or the like.
absl::StatusOr<ContextFiles> IndexContext(int fd);

// The path with symlinks resolved inside the context; "" is the context itself. NOT_FOUND if there
// is nothing.
absl::StatusOr<std::string> ResolvePath(const ContextFiles& files, absl::string_view path);

}  // namespace darse::builder
