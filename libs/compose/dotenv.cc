#include "libs/compose/dotenv.h"

#include <algorithm>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace darse::compose {
namespace {

class Reader {
 public:
  Reader(absl::string_view text, absl::string_view file, Lookup lookup)
      : text_(text), file_(file), lookup_(lookup) {}

  absl::StatusOr<std::vector<Variable>> Read() {
    absl::ConsumePrefix(&text_, "\xEF\xBB\xBF");
    while (SkipToName()) RETURN_IF_ERROR(ReadLine());
    return std::move(variables_);
  }

 private:
  absl::Status Bad(absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(file_, ":", line_, ": ", why));
  }

  bool SkipToName() {
    while (!text_.empty()) {
      if (text_[0] == '#') {
        Take(std::min(text_.find('\n'), text_.size()));
      } else if (absl::ascii_isspace(text_[0])) {
        Take(1);
      } else {
        return true;
      }
    }
    return false;
  }

  absl::string_view Take(size_t length) {
    const absl::string_view taken = text_.substr(0, length);
    line_ += static_cast<int>(std::count(taken.begin(), taken.end(), '\n'));
    text_.remove_prefix(taken.size());
    return taken;
  }

  absl::string_view RestOfLine() const {
    return text_.substr(0, std::min(text_.find('\n'), text_.size()));
  }

  absl::Status ReadLine() {
    const absl::string_view line = RestOfLine();
    const size_t equals = line.find('=');
    absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, equals));
    if (absl::ConsumePrefix(&name, "export ")) name = absl::StripAsciiWhitespace(name);
    if (equals == absl::string_view::npos)
      name = absl::StripAsciiWhitespace(name.substr(0, name.find(" #")));
    if (name.empty()) return Bad("a name is missing before \"=\"");
    if (std::any_of(name.begin(), name.end(),
                    [](char c) { return absl::ascii_isspace(c) || c == '"' || c == '\''; })) {
      return Bad(absl::StrCat("\"", name, "\" is no name of a variable"));
    }
    if (equals == absl::string_view::npos) {
      Take(line.size());
      variables_.push_back({std::string(name), std::nullopt});
      return absl::OkStatus();
    }
    Take(equals + 1);
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\t')) Take(1);
    ASSIGN_OR_RETURN(std::string value, ReadValue());
    known_[std::string(name)] = value;
    variables_.push_back({std::string(name), std::move(value)});
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadValue() {
    if (absl::StartsWith(text_, "'")) return ReadLiteral();
    if (absl::StartsWith(text_, "\"")) return ReadQuoted();
    absl::string_view value = RestOfLine();
    const int line = line_;
    Take(value.size());
    if (absl::StartsWith(value, "#")) value = "";
    const size_t comment = std::min(value.find(" #"), value.find("\t#"));
    value = absl::StripAsciiWhitespace(value.substr(0, comment));
    return Expand(value, line);
  }

  absl::Status ExpectEndOfLine() {
    const absl::string_view rest = absl::StripAsciiWhitespace(RestOfLine());
    if (!rest.empty() && rest[0] != '#')
      return Bad(absl::StrCat("\"", rest, "\" after the closing quote"));
    Take(RestOfLine().size());
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadLiteral() {
    const size_t end = text_.find('\'', 1);
    if (end == absl::string_view::npos) return Bad("a quote is not closed");
    std::string value(text_.substr(1, end - 1));
    Take(end + 1);
    RETURN_IF_ERROR(ExpectEndOfLine());
    return value;
  }

  absl::StatusOr<std::string> ReadQuoted() {
    const int line = line_;
    std::string raw;
    size_t i = 1;
    for (; i < text_.size() && text_[i] != '"'; ++i) {
      if (text_[i] != '\\' || i + 1 == text_.size()) {
        raw += text_[i];
        continue;
      }
      ++i;
      switch (text_[i]) {
        case 'n':
          raw += '\n';
          break;
        case 'r':
          raw += '\r';
          break;
        case 't':
          raw += '\t';
          break;
        case '$':
          raw += "$$";
          break;
        case '"':
        case '\\':
          raw += text_[i];
          break;
        default:
          absl::StrAppend(&raw, "\\", text_.substr(i, 1));
      }
    }
    if (i >= text_.size()) return Bad("a quote is not closed");
    Take(i + 1);
    RETURN_IF_ERROR(ExpectEndOfLine());
    return Expand(raw, line);
  }

  absl::StatusOr<std::string> Expand(absl::string_view text, int line) {
    absl::StatusOr<std::string> value = Interpolate(
        text,
        [this](absl::string_view name) -> std::optional<std::string> {
          if (std::optional<std::string> outer = lookup_(name)) return outer;
          const auto found = known_.find(std::string(name));
          if (found == known_.end()) return std::nullopt;
          return found->second;
        },
        nullptr);
    return Annotate(std::move(value), absl::StrCat(file_, ":", line));
  }

  absl::string_view text_;
  absl::string_view file_;
  Lookup lookup_;
  int line_ = 1;
  std::map<std::string, std::string> known_;
  std::vector<Variable> variables_;
};

}  // namespace

absl::StatusOr<std::vector<Variable>> ParseDotenv(absl::string_view text, absl::string_view file,
                                                  Lookup lookup) {
  return Reader(text, file, lookup).Read();
}

}  // namespace darse::compose
