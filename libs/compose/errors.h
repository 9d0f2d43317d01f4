// All that is wrong with the input, to be told in one go.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "libs/yaml/node.h"

namespace darse::compose {

// One thread only.
class Errors {
 public:
  // "compose.yaml:12: services.web.ports[0]: why". Said once, however often it is found.
  void Add(const yaml::Position& position, absl::string_view path, absl::string_view why) {
    std::string line =
        absl::StrCat(position.FileAndLine(), ": ", path, path.empty() ? "" : ": ", why);
    if (!said_.insert(line).second) return;
    lines_.push_back(
        {position.file == nullptr ? "" : *position.file, position.line, std::move(line)});
  }

  bool empty() const { return lines_.empty(); }
  size_t size() const { return lines_.size(); }
  // OK, or INVALID_ARGUMENT with one error a line, in the order of the files' lines.
  absl::Status ToStatus() const {
    if (lines_.empty()) return absl::OkStatus();
    std::vector<Line> sorted = lines_;
    std::stable_sort(sorted.begin(), sorted.end(), [](const Line& a, const Line& b) {
      return std::tie(a.file, a.number) < std::tie(b.file, b.number);
    });
    return absl::InvalidArgumentError(absl::StrJoin(
        sorted, "\n", [](std::string* out, const Line& line) { out->append(line.text); }));
  }

 private:
  struct Line {
    std::string file;
    int number;
    std::string text;
  };

  std::vector<Line> lines_;
  std::set<std::string> said_;
};

}  // namespace darse::compose
