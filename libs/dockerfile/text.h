// First pass: the bytes of a Dockerfile become logical lines.
//
//   # syntax=… / # escape=… / # check=…   parser directives: only before anything else, a comment
//   line included # …                                    comments, also between continued lines RUN
//   a && \                             a line that ends in one escape character goes on in the next
//   RUN <<EOF … EOF                        here-documents, of RUN, COPY and ADD only
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/dockerfile/place.h"

namespace darse::dockerfile {

struct Heredoc {
  std::string name;
  // False where the name was quoted: then `content` is taken as it is.
  bool expand = true;
  // As in the file, with leading tabs taken away for "<<-".
  std::string content;
};

struct LogicalLine {
  Place place;
  // Without comments, continuation marks and surrounding blanks; never empty.
  std::string text;
  std::vector<Heredoc> heredocs;
};

struct Text {
  char escape = '\\';
  std::vector<LogicalLine> lines;
  // "Dockerfile:1: …"
  std::vector<std::string> warnings;
};

// INVALID_ARGUMENT for a directive that cannot be obeyed and for a here-document without end.
absl::StatusOr<Text> SplitText(absl::string_view content, absl::string_view file);

// Splits at blanks that are not quoted or escaped; quotes and escapes stay.
std::vector<std::string> SplitWords(absl::string_view text, char escape);

}  // namespace darse::dockerfile
