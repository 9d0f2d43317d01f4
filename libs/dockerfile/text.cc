#include "libs/dockerfile/text.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace darse::dockerfile {
namespace {

// "# name = value" → name (lowercase) and value.
std::optional<std::pair<std::string, std::string>> ParseDirective(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "#")) return std::nullopt;
  size_t equals = line.find('=');
  if (equals == absl::string_view::npos) return std::nullopt;
  absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, equals));
  absl::string_view value = absl::StripAsciiWhitespace(line.substr(equals + 1));
  if (name.empty() || value.empty()) return std::nullopt;
  for (char c : name) {
    if (!absl::ascii_isalnum(c)) return std::nullopt;
  }
  return std::make_pair(absl::AsciiStrToLower(name), std::string(value));
}

absl::Status ObeyCheck(const Place& place, absl::string_view value) {
  for (absl::string_view part : absl::StrSplit(value, ';')) {
    std::pair<absl::string_view, absl::string_view> setting =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    absl::string_view name = absl::StripAsciiWhitespace(setting.first);
    absl::string_view text = absl::StripAsciiWhitespace(setting.second);
    // No build checks are run, so there is nothing that "skip" would have to leave out.
    if (absl::EqualsIgnoreCase(name, "skip")) continue;
    if (absl::EqualsIgnoreCase(name, "error") && absl::EqualsIgnoreCase(text, "false")) continue;
    return ErrorAt(place, "check", absl::StrCat("\"", part, "\" is not supported"));
  }
  return absl::OkStatus();
}

absl::Status ObeyDirective(const Place& place, absl::string_view name, absl::string_view value,
                           Text& text) {
  if (name == "escape") {
    if (value != "\\" && value != "`") {
      return ErrorAt(place, "escape", absl::StrCat("must be \\ or `, not \"", value, "\""));
    }
    text.escape = value[0];
    return absl::OkStatus();
  }
  if (name == "check") return ObeyCheck(place, value);
  absl::string_view frontend = value;
  absl::ConsumePrefix(&frontend, "docker.io/");
  frontend = frontend.substr(0, frontend.find_first_of(":@"));
  if (frontend != "docker/dockerfile" && frontend != "docker/dockerfile-upstream") {
    return ErrorAt(place, "syntax",
                   absl::StrCat("frontend \"", value,
                                "\" is not supported: only Docker's own "
                                "(docker/dockerfile), which is built in"));
  }
  text.warnings.push_back(absl::StrCat(Describe(place), ": syntax=", value,
                                       " is ignored: Darse reads Dockerfiles itself"));
  return absl::OkStatus();
}

// True, and the mark taken away, if the line goes on: it ends in exactly one escape character
// (blanks may follow).
bool TakeContinuation(char escape, std::string& line) {
  size_t end = line.find_last_not_of(" \t");
  if (end == std::string::npos || line[end] != escape) return false;
  if (end > 0 && line[end - 1] == escape) return false;
  line.resize(end);
  return true;
}

bool IsComment(absl::string_view line) {
  return absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "#");
}

// What follows "<<" at the start of a word: [-]NAME, NAME perhaps quoted.
struct HeredocMark {
  std::string name;
  bool strip_tabs = false;
  bool expand = true;
};

std::optional<HeredocMark> ParseHeredocMark(absl::string_view word) {
  while (!word.empty() && absl::ascii_isdigit(word[0])) word.remove_prefix(1);
  if (!absl::ConsumePrefix(&word, "<<")) return std::nullopt;
  HeredocMark mark;
  mark.strip_tabs = absl::ConsumePrefix(&word, "-");
  for (char c : word) {
    if (c == '<') return std::nullopt;
    if (c == '"' || c == '\'' || c == '\\') {
      mark.expand = false;
      continue;
    }
    mark.name.push_back(c);
  }
  if (mark.name.empty()) return std::nullopt;
  return mark;
}

bool TakesHeredocs(absl::string_view line) {
  absl::string_view keyword = line.substr(0, line.find_first_of(" \t"));
  if (absl::EqualsIgnoreCase(keyword, "ONBUILD")) {
    return TakesHeredocs(absl::StripLeadingAsciiWhitespace(line.substr(keyword.size())));
  }
  return absl::EqualsIgnoreCase(keyword, "RUN") || absl::EqualsIgnoreCase(keyword, "COPY") ||
         absl::EqualsIgnoreCase(keyword, "ADD");
}

// The physical lines, and how far they are read.
class Reader {
 public:
  Reader(absl::string_view content, absl::string_view file)
      : lines_(absl::StrSplit(content, '\n')), file_(file) {
    if (!lines_.empty() && lines_.back().empty()) lines_.pop_back();
  }
  bool AtEnd() const { return next_ >= lines_.size(); }
  absl::string_view Peek() const { return absl::StripSuffix(lines_[next_], "\r"); }
  absl::string_view Take() {
    absl::string_view line = Peek();
    ++next_;
    return line;
  }
  // Of the line that Take() answers next.
  Place Here() const { return {file_, static_cast<int>(next_) + 1}; }

 private:
  std::vector<absl::string_view> lines_;
  std::string file_;
  size_t next_ = 0;
};

absl::Status ReadDirectives(Reader& reader, Text& text) {
  std::set<std::string> seen;
  while (!reader.AtEnd()) {
    auto directive = ParseDirective(reader.Peek());
    if (!directive) return absl::OkStatus();
    const auto& [name, value] = *directive;
    // Any other "# x=y" is a comment, and ends the directives as every comment does.
    if (name != "syntax" && name != "escape" && name != "check") return absl::OkStatus();
    if (!seen.insert(name).second) return ErrorAt(reader.Here(), name, "given twice");
    RETURN_IF_ERROR(ObeyDirective(reader.Here(), name, value, text));
    reader.Take();
  }
  return absl::OkStatus();
}

absl::StatusOr<Heredoc> ReadHeredoc(const HeredocMark& mark, const Place& place, Reader& reader) {
  Heredoc heredoc{.name = mark.name, .expand = mark.expand};
  while (!reader.AtEnd()) {
    absl::string_view line = reader.Take();
    if (mark.strip_tabs) {
      while (absl::ConsumePrefix(&line, "\t")) {
      }
    }
    if (line == mark.name) return heredoc;
    absl::StrAppend(&heredoc.content, line, "\n");
  }
  return ErrorAt(place, "",
                 absl::StrCat("here-document \"", mark.name, "\" has no end: a line with only ",
                              mark.name, " is missing"));
}

// The rest of a logical line whose first physical line is `line`.
std::string ReadContinuations(std::string line, char escape, Reader& reader) {
  while (TakeContinuation(escape, line) && !reader.AtEnd()) {
    // Comments and empty lines inside are left out, and the line goes on after them.
    while (!reader.AtEnd() &&
           (IsComment(reader.Peek()) || absl::StripAsciiWhitespace(reader.Peek()).empty())) {
      reader.Take();
    }
    if (reader.AtEnd()) break;
    line.append(std::string(reader.Take()));
  }
  return line;
}

}  // namespace

std::vector<std::string> SplitWords(absl::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quote == 0 && absl::ascii_isspace(c)) {
      if (in_word) words.push_back(std::exchange(word, ""));
      in_word = false;
      continue;
    }
    in_word = true;
    word.push_back(c);
    if (c == escape && quote != '\'' && i + 1 < text.size()) {
      word.push_back(text[++i]);
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
  }
  if (in_word) words.push_back(word);
  return words;
}

absl::StatusOr<Text> SplitText(absl::string_view content, absl::string_view file) {
  if (content.find('\0') != absl::string_view::npos) {
    return ErrorAt({std::string(file), 1}, "", "holds a NUL byte: this is no Dockerfile");
  }
  absl::ConsumePrefix(&content, "\xEF\xBB\xBF");
  Text text;
  Reader reader(content, file);
  RETURN_IF_ERROR(ReadDirectives(reader, text));
  while (!reader.AtEnd()) {
    LogicalLine logical;
    logical.place = reader.Here();
    absl::string_view first = reader.Take();
    if (IsComment(first) || absl::StripAsciiWhitespace(first).empty()) continue;
    std::string line = ReadContinuations(std::string(absl::StripLeadingAsciiWhitespace(first)),
                                         text.escape, reader);
    logical.text = std::string(absl::StripAsciiWhitespace(line));
    if (logical.text.empty()) continue;
    if (TakesHeredocs(logical.text)) {
      for (const std::string& word : SplitWords(logical.text, text.escape)) {
        std::optional<HeredocMark> mark = ParseHeredocMark(word);
        if (!mark) continue;
        ASSIGN_OR_RETURN(Heredoc heredoc, ReadHeredoc(*mark, logical.place, reader));
        logical.heredocs.push_back(std::move(heredoc));
      }
    }
    text.lines.push_back(std::move(logical));
  }
  return text;
}

}  // namespace darse::dockerfile
