// The only way libs/compose sees files.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::compose {

enum class FileKind { kNone, kRegular, kDirectory, kOther };

// All paths are absolute.
class FileReader {
 public:
  virtual ~FileReader() = default;
  // Follows symlinks; kNone if there is nothing or it cannot be looked at.
  virtual FileKind Kind(absl::string_view path) = 0;
  // NOT_FOUND; RESOURCE_EXHAUSTED above `limit_bytes`.
  virtual absl::StatusOr<std::string> Read(absl::string_view path, int64_t limit_bytes) = 0;
};

class DiskFileReader final : public FileReader {
 public:
  FileKind Kind(absl::string_view path) override;
  absl::StatusOr<std::string> Read(absl::string_view path, int64_t limit_bytes) override;
};

// For tests. A directory is there when a file below it is.
class FakeFileReader final : public FileReader {
 public:
  std::map<std::string, std::string> files;

  FileKind Kind(absl::string_view path) override;
  absl::StatusOr<std::string> Read(absl::string_view path, int64_t limit_bytes) override;
};

}  // namespace darse::compose
