#include "services/runtime/snapshots/path_match.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/archive/root_path.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"

namespace darse::runtime {
namespace {

absl::Status Malformed(absl::string_view pattern) {
  return absl::InvalidArgumentError(
      absl::StrCat("pattern \"", absl::CHexEscape(pattern), "\" is malformed"));
}

// Takes one character of a class, unescaped.
bool TakeClassCharacter(absl::string_view* rest, char* out) {
  if (rest->empty() || rest->front() == '-' || rest->front() == ']') return false;
  if (rest->front() == '\\') rest->remove_prefix(1);
  if (rest->empty()) return false;
  *out = rest->front();
  rest->remove_prefix(1);
  // A class must go on or be closed.
  return !rest->empty();
}

// `rest` stands after "["; afterwards after "]".
absl::StatusOr<bool> ClassHolds(absl::string_view pattern, absl::string_view* rest, char c) {
  bool negated = !rest->empty() && rest->front() == '^';
  if (negated) rest->remove_prefix(1);
  bool holds = false;
  for (int ranges = 0;; ++ranges) {
    if (!rest->empty() && rest->front() == ']' && ranges > 0) {
      rest->remove_prefix(1);
      return holds != negated;
    }
    char low;
    if (!TakeClassCharacter(rest, &low)) return Malformed(pattern);
    char high = low;
    if (rest->front() == '-') {
      rest->remove_prefix(1);
      if (!TakeClassCharacter(rest, &high)) return Malformed(pattern);
    }
    holds |= low <= c && c <= high;
  }
}

bool IsPattern(absl::string_view part) {
  return part.find_first_of("*?[\\") != absl::string_view::npos;
}

absl::StatusOr<std::vector<std::string>> Names(int root, const std::string& path) {
  absl::StatusOr<UniqueFd> directory = archive::OpenInRoot(root, path, O_RDONLY | O_DIRECTORY);
  // What is no directory has nothing in it.
  if (!directory.ok()) return std::vector<std::string>();
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(directory->Release()), closedir);
  if (stream == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path));
  std::vector<std::string> names;
  while (struct dirent* entry = readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Join(const std::string& path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, "/", name);
}

absl::StatusOr<std::vector<std::string>> Expand(int root, const std::string& pattern) {
  std::vector<std::string> found = {""};
  ASSIGN_OR_RETURN(std::string clean, archive::CleanPath(pattern));
  for (absl::string_view part : absl::StrSplit(clean, '/', absl::SkipEmpty())) {
    std::vector<std::string> next;
    for (const std::string& path : found) {
      if (!IsPattern(part)) {
        next.push_back(Join(path, part));
        continue;
      }
      ASSIGN_OR_RETURN(std::vector<std::string> names, Names(root, path));
      for (const std::string& name : names) {
        ASSIGN_OR_RETURN(bool matches, NameMatches(part, name));
        if (matches) next.push_back(Join(path, name));
      }
    }
    found = std::move(next);
  }
  std::erase_if(found, [root](const std::string& path) {
    return !archive::OpenInRoot(root, path, O_PATH).ok();
  });
  return found;
}

}  // namespace

absl::StatusOr<bool> NameMatches(absl::string_view pattern, absl::string_view name) {
  absl::string_view rest = pattern;
  // Where to try again: after the newest star, one character further on.
  absl::string_view star_rest;
  absl::string_view star_name;
  bool starred = false;
  while (true) {
    bool fits = false;
    if (!rest.empty() && rest.front() == '*') {
      while (!rest.empty() && rest.front() == '*') rest.remove_prefix(1);
      star_rest = rest;
      star_name = name;
      starred = true;
      continue;
    }
    if (rest.empty()) {
      if (name.empty()) return true;
    } else if (rest.front() == '[') {
      absl::string_view after = rest.substr(1);
      ASSIGN_OR_RETURN(bool holds, ClassHolds(pattern, &after, name.empty() ? '\0' : name.front()));
      fits = holds && !name.empty();
      if (fits) rest = after;
    } else if (rest.front() == '\\') {
      if (rest.size() < 2) return Malformed(pattern);
      fits = !name.empty() && name.front() == rest[1];
      if (fits) rest.remove_prefix(2);
    } else {
      fits = !name.empty() && (rest.front() == '?' || rest.front() == name.front());
      if (fits) rest.remove_prefix(1);
    }
    if (fits) {
      name.remove_prefix(1);
      continue;
    }
    if (!starred || star_name.empty()) return false;
    star_name.remove_prefix(1);
    rest = star_rest;
    name = star_name;
  }
}

absl::StatusOr<std::vector<std::string>> FindPaths(int root,
                                                   const std::vector<std::string>& patterns) {
  std::vector<std::string> paths;
  for (const std::string& pattern : patterns) {
    ASSIGN_OR_RETURN(std::vector<std::string> found, Expand(root, pattern));
    if (found.empty()) {
      return absl::NotFoundError(
          absl::StrCat("\"", absl::CHexEscape(pattern), "\": no such file or directory"));
    }
    paths.insert(paths.end(), found.begin(), found.end());
  }
  return paths;
}

}  // namespace darse::runtime
