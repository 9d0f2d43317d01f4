#include "libs/dockerfile/instruction.h"

#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/status_macros.h"

namespace darse::dockerfile {
namespace {

absl::Status Error(const Node& node, absl::string_view why) {
  return ErrorAt(node.place, node.keyword, why);
}

// The flags of one instruction, each asked for once; Done() refuses what nobody asked for.
class Flags {
 public:
  explicit Flags(const Node& node) : node_(node) {}

  std::optional<std::string> Take(absl::string_view name) {
    std::optional<std::string> value;
    for (size_t i = 0; i < node_.flags.size(); ++i) {
      if (node_.flags[i].name != name || !node_.flags[i].has_value) continue;
      taken_.insert({i, value.has_value()});
      value = node_.flags[i].value;
    }
    return value;
  }

  absl::Status Done() const {
    for (size_t i = 0; i < node_.flags.size(); ++i) {
      auto taken = taken_.find(i);
      if (taken == taken_.end()) {
        const Flag& flag = node_.flags[i];
        return Error(node_, absl::StrCat("flag --", flag.name, flag.has_value ? "=" : "",
                                         flag.value, " is not supported"));
      }
      if (taken->second) {
        return Error(node_, absl::StrCat("flag --", node_.flags[i].name, " is given twice"));
      }
    }
    return absl::OkStatus();
  }

 private:
  const Node& node_;
  // Index of the flag, and whether it repeats an earlier one.
  std::map<size_t, bool> taken_;
};

absl::Status NeedArguments(const Node& node) {
  if (node.rest.empty()) return Error(node, "needs at least one argument");
  return absl::OkStatus();
}

CommandLine PlainCommand(const Node& node) {
  if (node.json) return {.exec_form = true, .args = node.words};
  return {.shell = node.rest};
}

bool IsStageName(absl::string_view name) {
  if (name.empty() || !absl::ascii_isalpha(name[0])) return false;
  for (char c : name) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') return false;
  }
  return true;
}

absl::StatusOr<From> ParseFrom(const Node& node) {
  Flags flags(node);
  From from{.platform = flags.Take("platform").value_or("")};
  RETURN_IF_ERROR(flags.Done());
  if (node.words.size() == 3 && absl::EqualsIgnoreCase(node.words[1], "AS")) {
    from.stage = absl::AsciiStrToLower(node.words[2]);
    if (!IsStageName(from.stage)) {
      return Error(node,
                   absl::StrCat("\"", node.words[2],
                                "\" is no stage name: a letter, then letters, digits, - _ ."));
    }
  } else if (node.words.size() != 1) {
    return Error(node, "must be FROM image or FROM image AS name");
  }
  from.image = node.words[0];
  return from;
}

// A single "<<EOF" is the script itself; otherwise the shell reads the here-documents as it always
// does.
absl::StatusOr<CommandLine> HeredocCommand(const Node& node) {
  if (node.heredocs.size() == 1 && node.words.size() == 1) {
    const Heredoc& script = node.heredocs[0];
    if (absl::StartsWith(script.content, "#!")) {
      return Error(node,
                   "a here-document that begins with #! is not supported; name the "
                   "interpreter: RUN python3 <<EOF");
    }
    return CommandLine{.shell = script.content};
  }
  std::string command = node.rest;
  for (const Heredoc& heredoc : node.heredocs) {
    absl::StrAppend(&command, "\n", heredoc.content, heredoc.name);
  }
  absl::StrAppend(&command, "\n");
  return CommandLine{.shell = command};
}

absl::StatusOr<Run> ParseRun(const Node& node) {
  Flags flags(node);
  Run run{.network = flags.Take("network").value_or("")};
  RETURN_IF_ERROR(flags.Done());
  if (run.network == "default") run.network = "";
  if (!run.network.empty() && run.network != "none" && run.network != "host") {
    return Error(
        node, absl::StrCat("--network must be default, none or host, not \"", run.network, "\""));
  }
  RETURN_IF_ERROR(NeedArguments(node));
  if (node.heredocs.empty()) {
    run.command = PlainCommand(node);
  } else {
    ASSIGN_OR_RETURN(run.command, HeredocCommand(node));
  }
  if (run.command.exec_form && run.command.args.empty()) return Error(node, "has no command");
  return run;
}

absl::StatusOr<uint32_t> ParseMode(const Node& node, absl::string_view text) {
  uint32_t mode = 0;
  for (char c : text) {
    if (c < '0' || c > '7' || text.size() > 5) {
      return Error(node, absl::StrCat("--chmod=", text, " is not supported: an octal number"));
    }
    mode = mode * 8 + (c - '0');
  }
  if (mode == 0 || mode > 07777) {
    return Error(node, absl::StrCat("--chmod=", text, ": must be between 1 and 7777, octal"));
  }
  return mode;
}

absl::Status RefuseRemote(const Node& node, absl::string_view source) {
  for (absl::string_view scheme : {"http://", "https://", "ftp://"}) {
    if (!absl::StartsWithIgnoreCase(source, scheme)) continue;
    return Error(node, absl::StrCat("\"", source,
                                    "\": downloads are not supported; use RUN with "
                                    "a program that downloads"));
  }
  if (absl::StartsWith(source, "git@") || absl::StartsWith(source, "git://") ||
      absl::StartsWith(source, "ssh://")) {
    return Error(node, absl::StrCat("\"", source, "\": git sources are not supported"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Copy> ParseCopy(const Node& node) {
  Flags flags(node);
  Copy copy{.is_add = node.keyword == "ADD"};
  if (!copy.is_add) copy.from = flags.Take("from").value_or("");
  copy.chown = flags.Take("chown").value_or("");
  std::optional<std::string> mode = flags.Take("chmod");
  RETURN_IF_ERROR(flags.Done());
  if (mode) {
    ASSIGN_OR_RETURN(copy.mode, ParseMode(node, *mode));
  }
  if (node.words.size() < 2) return Error(node, "needs at least one source and a destination");
  copy.destination = node.words.back();
  size_t heredoc = 0;
  for (size_t i = 0; i + 1 < node.words.size(); ++i) {
    const std::string& source = node.words[i];
    if (!node.json && absl::StartsWith(source, "<<") && heredoc < node.heredocs.size()) {
      copy.inline_files.push_back(node.heredocs[heredoc++]);
      continue;
    }
    if (copy.is_add) RETURN_IF_ERROR(RefuseRemote(node, source));
    copy.sources.push_back(source);
  }
  if (heredoc != node.heredocs.size())
    return Error(node, "a here-document cannot be a destination");
  if (!copy.inline_files.empty() && !copy.from.empty()) {
    return Error(node, "a here-document does not come from another stage: leave out --from");
  }
  if (copy.sources.size() + copy.inline_files.size() > 1 &&
      !absl::EndsWith(copy.destination, "/") && copy.destination != "." &&
      copy.destination.find('$') == std::string::npos) {
    return Error(node, absl::StrCat("with more than one source the destination must be a directory "
                                    "that ends in /, not \"",
                                    copy.destination, "\""));
  }
  return copy;
}

// name=value …, or the old form `name value with blanks`.
absl::StatusOr<Pairs> ParsePairs(const Node& node) {
  RETURN_IF_ERROR(NeedArguments(node));
  Pairs pairs;
  if (node.words[0].find('=') == std::string::npos) {
    if (node.words.size() < 2) {
      return Error(node, absl::StrCat("\"", node.words[0], "\" needs a value: name=value"));
    }
    absl::string_view value = absl::string_view(node.rest).substr(node.words[0].size());
    pairs.emplace_back(node.words[0], absl::StripAsciiWhitespace(value));
    return pairs;
  }
  for (const std::string& word : node.words) {
    size_t equals = word.find('=');
    if (equals == std::string::npos) {
      return Error(node,
                   absl::StrCat("\"", word, "\" is no name=value; quote a value with blanks"));
    }
    if (equals == 0) return Error(node, absl::StrCat("\"", word, "\" has no name before ="));
    pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return pairs;
}

absl::StatusOr<Arg> ParseArg(const Node& node) {
  RETURN_IF_ERROR(NeedArguments(node));
  Arg arg;
  for (const std::string& word : node.words) {
    size_t equals = word.find('=');
    std::string name = word.substr(0, equals);
    if (name.empty()) return Error(node, absl::StrCat("\"", word, "\" has no name before ="));
    std::optional<std::string> value;
    if (equals != std::string::npos) value = word.substr(equals + 1);
    arg.variables.emplace_back(std::move(name), std::move(value));
  }
  return arg;
}

absl::StatusOr<absl::Duration> TakeDuration(const Node& node, Flags& flags,
                                            absl::string_view name) {
  std::optional<std::string> text = flags.Take(name);
  if (!text) return absl::ZeroDuration();
  absl::Duration duration;
  if (!absl::ParseDuration(*text, &duration)) {
    return Error(node, absl::StrCat("--", name, "=", *text, " is no duration (as 30s or 1m30s)"));
  }
  if (duration != absl::ZeroDuration() && duration < absl::Milliseconds(1)) {
    return Error(node, absl::StrCat("--", name, "=", *text, ": at least 1ms"));
  }
  return duration;
}

absl::StatusOr<Healthcheck> ParseHealthcheck(const Node& node, char escape) {
  Healthcheck check;
  Flags flags(node);
  ASSIGN_OR_RETURN(check.interval, TakeDuration(node, flags, "interval"));
  ASSIGN_OR_RETURN(check.timeout, TakeDuration(node, flags, "timeout"));
  ASSIGN_OR_RETURN(check.start_period, TakeDuration(node, flags, "start-period"));
  ASSIGN_OR_RETURN(check.start_interval, TakeDuration(node, flags, "start-interval"));
  if (std::optional<std::string> retries = flags.Take("retries")) {
    if (!absl::SimpleAtoi(*retries, &check.retries) || check.retries < 0) {
      return Error(node, absl::StrCat("--retries=", *retries, " is no number from 0"));
    }
  }
  RETURN_IF_ERROR(flags.Done());
  // The arguments are an instruction of their own: NONE, or CMD with either form.
  ASSIGN_OR_RETURN(Node inner, ParseNode({.place = node.place, .text = node.rest}, escape));
  if (inner.keyword == "NONE" && inner.rest.empty()) {
    if (!node.flags.empty()) return Error(node, "NONE takes no flags");
    check.test = {"NONE"};
    return check;
  }
  if (inner.keyword != "CMD") return Error(node, "must be HEALTHCHECK NONE or HEALTHCHECK CMD …");
  if (!inner.flags.empty()) return Error(node, "flags stand before CMD");
  if (inner.rest.empty() || (inner.json && inner.words.empty())) {
    return Error(node, "CMD has no command");
  }
  if (inner.json) {
    check.test = {"CMD"};
    check.test.insert(check.test.end(), inner.words.begin(), inner.words.end());
  } else {
    check.test = {"CMD-SHELL", inner.rest};
  }
  return check;
}

absl::StatusOr<Onbuild> ParseOnbuild(const Node& node, char escape) {
  RETURN_IF_ERROR(NeedArguments(node));
  if (!node.heredocs.empty()) return Error(node, "a here-document is not supported here");
  ASSIGN_OR_RETURN(Node inner, ParseNode({.place = node.place, .text = node.rest}, escape));
  if (inner.keyword == "ONBUILD" || inner.keyword == "FROM" || inner.keyword == "MAINTAINER") {
    return Error(node, absl::StrCat(inner.keyword, " is not allowed here"));
  }
  RETURN_IF_ERROR(ParseInstruction(inner, escape).status());
  return Onbuild{.instruction = node.rest};
}

absl::Status NoFlags(const Node& node) { return Flags(node).Done(); }

}  // namespace

absl::StatusOr<Instruction> ParseInstruction(const Node& node, char escape) {
  Instruction out{.place = node.place, .keyword = node.keyword, .original = node.original};
  const std::string& keyword = node.keyword;
  if (keyword == "FROM") {
    ASSIGN_OR_RETURN(out.value, ParseFrom(node));
    return out;
  }
  if (keyword == "RUN") {
    ASSIGN_OR_RETURN(out.value, ParseRun(node));
    return out;
  }
  if (keyword == "COPY" || keyword == "ADD") {
    ASSIGN_OR_RETURN(out.value, ParseCopy(node));
    return out;
  }
  if (keyword == "HEALTHCHECK") {
    ASSIGN_OR_RETURN(out.value, ParseHealthcheck(node, escape));
    return out;
  }
  if (keyword == "CMD" || keyword == "ENTRYPOINT") {
    // Words that begin with -- belong to the command here, so a flag is refused like any other.
    RETURN_IF_ERROR(NoFlags(node));
    RETURN_IF_ERROR(NeedArguments(node));
    if (keyword == "CMD") {
      out.value = Cmd{PlainCommand(node)};
    } else {
      out.value = Entrypoint{PlainCommand(node)};
    }
    return out;
  }
  constexpr absl::string_view kOthers[] = {"ENV",        "ARG",        "LABEL",  "WORKDIR",
                                           "USER",       "EXPOSE",     "VOLUME", "SHELL",
                                           "STOPSIGNAL", "MAINTAINER", "ONBUILD"};
  bool known = false;
  for (absl::string_view other : kOthers) known = known || keyword == other;
  if (!known) return Error(node, "unknown instruction");
  RETURN_IF_ERROR(NoFlags(node));
  RETURN_IF_ERROR(NeedArguments(node));
  if (keyword == "ENV") {
    ASSIGN_OR_RETURN(Pairs pairs, ParsePairs(node));
    out.value = Env{std::move(pairs)};
  } else if (keyword == "LABEL") {
    ASSIGN_OR_RETURN(Pairs pairs, ParsePairs(node));
    out.value = Label{std::move(pairs)};
  } else if (keyword == "ARG") {
    ASSIGN_OR_RETURN(out.value, ParseArg(node));
  } else if (keyword == "WORKDIR") {
    out.value = Workdir{node.rest};
  } else if (keyword == "USER") {
    if (node.words.size() != 1) return Error(node, "takes exactly one argument: user[:group]");
    out.value = User{node.words[0]};
  } else if (keyword == "EXPOSE") {
    out.value = Expose{node.words};
  } else if (keyword == "VOLUME") {
    if (node.words.empty()) return Error(node, "needs at least one path");
    out.value = Volume{node.words};
  } else if (keyword == "SHELL") {
    if (!node.json || node.words.empty()) {
      return Error(node, "must be a JSON array of strings: SHELL [\"/bin/sh\", \"-c\"]");
    }
    out.value = Shell{node.words};
  } else if (keyword == "STOPSIGNAL") {
    if (node.words.size() != 1) return Error(node, "takes exactly one signal");
    out.value = StopSignal{node.words[0]};
  } else if (keyword == "MAINTAINER") {
    out.value = Maintainer{node.rest};
  } else {
    ASSIGN_OR_RETURN(out.value, ParseOnbuild(node, escape));
  }
  return out;
}

}  // namespace darse::dockerfile
