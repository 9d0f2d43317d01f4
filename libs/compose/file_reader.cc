#include "libs/compose/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/unique_fd.h"

namespace darse::compose {
namespace {

absl::Status TooLarge(absl::string_view path, int64_t limit_bytes) {
  return absl::ResourceExhaustedError(absl::StrCat(path, ": larger than ", limit_bytes, " bytes"));
}

}  // namespace

FileKind DiskFileReader::Kind(absl::string_view path) {
  struct stat found;
  if (stat(std::string(path).c_str(), &found) != 0) return FileKind::kNone;
  if (S_ISREG(found.st_mode)) return FileKind::kRegular;
  return S_ISDIR(found.st_mode) ? FileKind::kDirectory : FileKind::kOther;
}

absl::StatusOr<std::string> DiskFileReader::Read(absl::string_view path, int64_t limit_bytes) {
  UniqueFd fd(open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, path);
  std::string text;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, path);
    if (got == 0) return text;
    text.append(buffer, got);
    if (static_cast<int64_t>(text.size()) > limit_bytes) return TooLarge(path, limit_bytes);
  }
}

FileKind FakeFileReader::Kind(absl::string_view path) {
  if (files.contains(std::string(path))) return FileKind::kRegular;
  const std::string directory = absl::StrCat(path, absl::EndsWith(path, "/") ? "" : "/");
  const auto below = files.lower_bound(directory);
  const bool is_directory = below != files.end() && absl::StartsWith(below->first, directory);
  return is_directory ? FileKind::kDirectory : FileKind::kNone;
}

absl::StatusOr<std::string> FakeFileReader::Read(absl::string_view path, int64_t limit_bytes) {
  const auto found = files.find(std::string(path));
  if (found == files.end())
    return absl::NotFoundError(absl::StrCat(path, ": No such file or directory"));
  if (static_cast<int64_t>(found->second.size()) > limit_bytes) return TooLarge(path, limit_bytes);
  return found->second;
}

}  // namespace darse::compose
