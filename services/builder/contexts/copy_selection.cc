#include "services/builder/contexts/copy_selection.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/dockerfile/glob.h"
#include "libs/oci/digest.h"

namespace darse::builder {
namespace {

absl::StatusOr<std::vector<std::string>> Matches(const ContextFiles& files,
                                                 const std::string& pattern) {
  std::vector<std::string> matches;
  // A name that is there wins over its reading as a pattern ("[id].js").
  if (pattern.empty() || files.contains(pattern) || dockerfile::Glob::IsPlain(pattern)) {
    matches.push_back(pattern);
    return matches;
  }
  ASSIGN_OR_RETURN(dockerfile::Glob glob, dockerfile::Glob::Parse(pattern));
  for (const auto& [path, file] : files) {
    if (glob.Matches(path)) matches.push_back(path);
  }
  return matches;
}

void SelectDirectory(const ContextFiles& files, const std::string& directory, Selection& out) {
  std::string prefix = directory.empty() ? "" : directory + "/";
  for (auto it = files.lower_bound(prefix); it != files.end(); ++it) {
    absl::string_view target = it->first;
    if (!absl::ConsumePrefix(&target, prefix)) break;
    out.files.push_back({std::string(target), it->second});
  }
}

}  // namespace

absl::StatusOr<Selection> Select(const ContextFiles& files,
                                 const std::vector<std::string>& sources) {
  Selection out;
  int singles = 0;
  int directories = 0;
  for (const std::string& source : sources) {
    std::string pattern(absl::StripPrefix(source, "/"));
    ASSIGN_OR_RETURN(std::vector<std::string> matches, Matches(files, pattern));
    bool found = false;
    for (const std::string& match : matches) {
      absl::StatusOr<std::string> path = ResolvePath(files, match);
      if (absl::IsNotFound(path.status())) continue;
      RETURN_IF_ERROR(path.status());
      found = true;
      auto file = files.find(*path);
      if (file == files.end() || file->second.type == FileType::kDirectory) {
        ++directories;
        SelectDirectory(files, *path, out);
      } else {
        ++singles;
        out.files.push_back({match.substr(match.rfind('/') + 1), file->second, /*named=*/true});
      }
    }
    if (!found) {
      return absl::NotFoundError(absl::StrCat(
          "\"", pattern, "\" is not in the build context (or .dockerignore leaves it out)"));
    }
  }
  out.single_file = singles == 1 && directories == 0;
  return out;
}

std::string DigestOf(const Selection& selection) {
  oci::DigestStream digest;
  for (const SelectedFile& one : selection.files) {
    // Each text with its length, so that no two selections make the same bytes.
    digest.Update(absl::StrCat(
        one.target.size(), ":", one.target, " ", static_cast<int>(one.file.type), " ",
        one.file.mode, " ", one.file.link.size(), ":", one.file.link, " ", one.file.content, "\n"));
  }
  return digest.Finish().text();
}

}  // namespace darse::builder
