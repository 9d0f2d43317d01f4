// A small file of /proc or a cgroup that is read again and again: kept open, read with pread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::metrics {

// One thread only.
class KernelFile {
 public:
  explicit KernelFile(std::string path) : path_(std::move(path)) {}

  // The whole contents; valid until the next Read of any file on this thread. Opens the file if it
  // is not open; a file that has gone is closed, so that a new one of that name is found next time.
  absl::StatusOr<absl::string_view> Read();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace darse::metrics
