#include "tools/darse/options/surroundings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/unique_fd.h"

namespace darse::client {

std::optional<std::string> RealSurroundings::Variable(absl::string_view name) {
  const char* value = getenv(std::string(name).c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

absl::StatusOr<std::string> RealSurroundings::ReadFile(absl::string_view path) {
  const std::string name(path);
  UniqueFd fd(open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, name);
  std::string content;
  char block[65536];
  for (;;) {
    ssize_t got = read(fd.get(), block, sizeof block);
    if (got == 0) return content;
    if (got < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, name);
    if (got > 0) content.append(block, got);
  }
}

std::string RealSurroundings::WorkingDirectory() {
  char* path = getcwd(nullptr, 0);
  std::string directory = path != nullptr ? path : "/";
  free(path);
  return directory;
}

std::string AbsolutePath(absl::string_view path, Surroundings& around) {
  std::string full(path);
  if (path == "~" || absl::StartsWith(path, "~/")) {
    full = absl::StrCat(around.Variable("HOME").value_or(""), path.substr(1));
  } else if (!absl::StartsWith(path, "/")) {
    full = absl::StrCat(around.WorkingDirectory(), "/", path);
  }
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(full, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

}  // namespace darse::client
