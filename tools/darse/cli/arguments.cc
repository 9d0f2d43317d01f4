#include "tools/darse/cli/arguments.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"

namespace darse::client {
namespace {

constexpr Flag kGlobalFlags[] = {
    {"run", 0, Flag::kText, "DIR", "directory of the services' sockets", "@file"},
    {"root", 0, Flag::kText, "DIR", "directory of the services' state", "@file"},
    {"config", 0, Flag::kText, "FILE", "settings instead of /etc/darse/darse.toml", "@file"},
    {"help", 0, Flag::kSwitch, "", "say what a verb does, and its flags"},
};

size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t cost = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = std::exchange(row[j], cost);
    }
  }
  return row[b.size()];
}

std::string Suggestion(absl::string_view word, const std::vector<std::string>& candidates) {
  std::vector<std::string> close = CloseTo(word, candidates);
  if (close.empty()) return "";
  return absl::StrCat("; did you mean ", absl::StrJoin(close, " or "), "?");
}

// The verb whose name or alias is the first words; the longest wins. `taken` is how many words.
const Verb* FindVerb(std::span<const Verb* const> verbs, const std::vector<std::string>& words,
                     size_t& taken) {
  for (size_t count = std::min<size_t>(2, words.size()); count > 0; --count) {
    const std::string name = absl::StrJoin(words.begin(), words.begin() + count, " ");
    for (const Verb* verb : verbs) {
      bool found = name == verb->name;
      for (const char* alias : verb->aliases) found = found || name == alias;
      if (found) {
        taken = count;
        return verb;
      }
    }
  }
  return nullptr;
}

bool IsTopic(std::span<const Verb* const> verbs, absl::string_view word) {
  return std::any_of(verbs.begin(), verbs.end(), [&](const Verb* verb) {
    return absl::StartsWith(verb->name, absl::StrCat(word, " "));
  });
}

std::vector<std::string> VerbNames(std::span<const Verb* const> verbs) {
  std::vector<std::string> names;
  for (const Verb* verb : verbs) names.emplace_back(verb->name);
  return names;
}

absl::Status UnknownVerb(std::span<const Verb* const> verbs,
                         const std::vector<std::string>& words) {
  std::string word = words[0];
  if (words.size() > 1 && IsTopic(verbs, word)) absl::StrAppend(&word, " ", words[1]);
  return UsageError(absl::StrCat("there is no verb \"", word, "\"",
                                 Suggestion(word, VerbNames(verbs)), "; `darse help` lists them"));
}

}  // namespace

absl::Status UsageError(absl::string_view message) {
  return WithReason(absl::InvalidArgumentError(message), kBadUsage);
}

std::span<const Flag> GlobalFlags() { return kGlobalFlags; }

std::vector<std::string> CloseTo(absl::string_view word,
                                 const std::vector<std::string>& candidates) {
  std::vector<std::pair<size_t, std::string>> close;
  for (const std::string& candidate : candidates) {
    size_t distance = Distance(word, candidate);
    if (word.size() >= 3 && absl::StartsWith(candidate, word)) distance = 1;
    if (distance <= (word.size() < 3 ? 1 : 2 + word.size() / 8))
      close.emplace_back(distance, candidate);
  }
  std::sort(close.begin(), close.end());
  if (close.size() > 3) close.resize(3);
  std::vector<std::string> names;
  for (auto& [distance, name] : close) names.push_back(std::move(name));
  return names;
}

void Arguments::CheckDeclared(absl::string_view flag) const {
  for (const Flag& declared : verb_->flags) {
    if (flag == declared.name) return;
  }
  std::fprintf(stderr, "darse: bug: verb %s has no flag --%s\n", verb_->name,
               std::string(flag).c_str());
  std::abort();
}

bool Arguments::Has(absl::string_view flag) const {
  CheckDeclared(flag);
  return values_.find(flag) != values_.end();
}

bool Arguments::On(absl::string_view flag, bool otherwise) const {
  return Has(flag) ? values_.find(flag)->second.back() == "true" : otherwise;
}

std::string Arguments::Text(absl::string_view flag, absl::string_view otherwise) const {
  return Has(flag) ? values_.find(flag)->second.back() : std::string(otherwise);
}

int64_t Arguments::Number(absl::string_view flag, int64_t otherwise) const {
  int64_t number = otherwise;
  if (Has(flag) && !absl::SimpleAtoi(values_.find(flag)->second.back(), &number)) return otherwise;
  return number;
}

const std::vector<std::string>& Arguments::Texts(absl::string_view flag) const {
  static const auto* const kNone = new std::vector<std::string>();
  return Has(flag) ? values_.find(flag)->second : *kNone;
}

std::string Arguments::At(size_t index) const {
  return index < positional_.size() ? positional_[index] : std::string();
}

// One pass over the words behind the verb.
class ArgumentReader {
 public:
  ArgumentReader(const Verb& verb, const std::vector<std::string>& words, CommandLine& line)
      : verb_(verb), words_(words), line_(line) {}

  absl::Status Read(size_t from) {
    for (at_ = from; at_ < words_.size(); ++at_) {
      const std::string& word = words_[at_];
      if (only_arguments_ || word.size() < 2 || word[0] != '-') {
        line_.arguments.positional_.push_back(word);
        only_arguments_ = only_arguments_ || verb_.ends_at_first_argument;
      } else if (word == "--") {
        only_arguments_ = true;
      } else if (word[1] == '-') {
        RETURN_IF_ERROR(LongFlag(absl::string_view(word).substr(2)));
      } else {
        RETURN_IF_ERROR(Letters(absl::string_view(word).substr(1)));
      }
    }
    return line_.help ? absl::OkStatus() : CheckCount();
  }

 private:
  absl::Status LongFlag(absl::string_view text) {
    const size_t equals = text.find('=');
    const absl::string_view name = text.substr(0, equals);
    std::optional<std::string> value;
    if (equals != absl::string_view::npos) value = std::string(text.substr(equals + 1));
    const std::string shown = absl::StrCat("--", name);
    for (const Flag& flag : verb_.flags) {
      if (name == flag.name) return Take(flag, shown, std::move(value));
    }
    for (const Flag& flag : kGlobalFlags) {
      if (name == flag.name) return TakeGlobal(flag, shown, std::move(value));
    }
    std::vector<std::string> names;
    for (const Flag& flag : verb_.flags) names.push_back(absl::StrCat("--", flag.name));
    return UsageError(absl::StrCat("`darse ", verb_.name, "` has no flag ", shown,
                                   Suggestion(shown, names), Hint()));
  }

  absl::Status Letters(absl::string_view letters) {
    if (letters == "h" && !FindLetter('h')) {
      line_.help = true;
      return absl::OkStatus();
    }
    while (!letters.empty()) {
      const Flag* flag = FindLetter(letters[0]);
      const std::string shown = absl::StrCat("-", letters.substr(0, 1));
      if (flag == nullptr) {
        return UsageError(absl::StrCat("`darse ", verb_.name, "` has no flag ", shown, Hint()));
      }
      letters.remove_prefix(1);
      if (flag->kind == Flag::kSwitch) {
        if (absl::ConsumePrefix(&letters, "=")) return Take(*flag, shown, std::string(letters));
        RETURN_IF_ERROR(Take(*flag, shown, std::nullopt));
        continue;
      }
      if (letters.empty()) return Take(*flag, shown, std::nullopt);
      absl::ConsumePrefix(&letters, "=");
      return Take(*flag, shown, std::string(letters));
    }
    return absl::OkStatus();
  }

  const Flag* FindLetter(char letter) const {
    for (const Flag& flag : verb_.flags) {
      if (flag.letter == letter) return &flag;
    }
    return nullptr;
  }

  // The value, or the next word where the flag needs one.
  absl::StatusOr<std::string> ValueOf(const Flag& flag, absl::string_view shown,
                                      std::optional<std::string> value) {
    if (value) return *std::move(value);
    if (flag.kind == Flag::kSwitch) return std::string("true");
    if (at_ + 1 >= words_.size()) {
      return UsageError(absl::StrCat(shown, " needs a value: ", shown, " ", flag.placeholder));
    }
    return words_[++at_];
  }

  absl::Status Take(const Flag& flag, absl::string_view shown, std::optional<std::string> given) {
    ASSIGN_OR_RETURN(std::string value, ValueOf(flag, shown, std::move(given)));
    if (flag.kind == Flag::kSwitch) {
      if (value == "1") value = "true";
      if (value == "0") value = "false";
      if (value != "true" && value != "false") {
        return UsageError(absl::StrCat(shown, " takes true or false, not \"", value, "\""));
      }
    }
    int64_t number;
    if (flag.kind == Flag::kNumber && !absl::SimpleAtoi(value, &number)) {
      return UsageError(absl::StrCat(shown, " takes a number, not \"", value, "\""));
    }
    if (flag.choices != nullptr && flag.choices[0] != '@') {
      const std::vector<std::string> choices = absl::StrSplit(flag.choices, '|');
      if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
        return UsageError(
            absl::StrCat(shown, " takes ", absl::StrJoin(choices, ", "), ", not \"", value, "\""));
      }
    }
    line_.arguments.values_[flag.name].push_back(std::move(value));
    return absl::OkStatus();
  }

  absl::Status TakeGlobal(const Flag& flag, absl::string_view shown,
                          std::optional<std::string> given) {
    if (absl::string_view(flag.name) == "help") {
      line_.help = true;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(std::string value, ValueOf(flag, shown, std::move(given)));
    line_.global_flags.push_back(absl::StrCat(shown, "=", value));
    return absl::OkStatus();
  }

  absl::Status CheckCount() const {
    const int count = static_cast<int>(line_.arguments.positional_.size());
    const char* problem = nullptr;
    if (count < verb_.min_arguments) problem = "needs more arguments";
    if (verb_.max_arguments >= 0 && count > verb_.max_arguments) {
      problem = verb_.max_arguments == 0 ? "takes no arguments" : "takes fewer arguments";
    }
    if (problem == nullptr) return absl::OkStatus();
    return UsageError(absl::StrCat("`darse ", verb_.name, "` ", problem, ": darse ", verb_.name,
                                   " [flags] ", verb_.arguments, Hint()));
  }

  std::string Hint() const { return absl::StrCat("; `darse help ", verb_.name, "` explains"); }

  const Verb& verb_;
  const std::vector<std::string>& words_;
  CommandLine& line_;
  size_t at_ = 0;
  bool only_arguments_ = false;
};

absl::StatusOr<CommandLine> ReadCommandLine(std::span<const Verb* const> verbs,
                                            const std::vector<std::string>& words) {
  static const Verb* const kNothing = new Verb{"", "", ""};
  CommandLine line{nullptr, Arguments(*kNothing)};
  std::vector<std::string> rest;
  size_t at = 0;
  // Flags before the verb are those of all verbs.
  for (; at < words.size() && absl::StartsWith(words[at], "-"); ++at) {
    const std::string& word = words[at];
    if (word == "--help" || word == "-h") {
      line.help = true;
    } else if (word == "--version" || word == "-v") {
      line.version = true;
    } else {
      std::vector<std::string> one = {word};
      const bool needs_value = word == "--run" || word == "--root" || word == "--config";
      if (needs_value && at + 1 < words.size()) one.push_back(words[++at]);
      RETURN_IF_ERROR(ArgumentReader(*kNothing, one, line).Read(0));
    }
  }
  rest.assign(words.begin() + at, words.end());
  if (!rest.empty() && rest[0] == "help") {
    line.help = true;
    rest.erase(rest.begin());
  }
  if (rest.empty()) {
    if (!line.version) line.help = true;
    return line;
  }
  size_t taken = 0;
  const Verb* verb = FindVerb(verbs, rest, taken);
  const bool asks_topic = rest.size() == 1 || rest[1] == "--help" || rest[1] == "-h";
  if (verb == nullptr && asks_topic && IsTopic(verbs, rest[0])) {
    line.help = true;
    line.topic = rest[0];
    return line;
  }
  if (verb == nullptr) return UnknownVerb(verbs, rest);
  line.verb = verb;
  line.arguments = Arguments(*verb);
  if (line.help) return line;
  RETURN_IF_ERROR(ArgumentReader(*verb, rest, line).Read(taken));
  return line;
}

}  // namespace darse::client
