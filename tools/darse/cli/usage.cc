#include "tools/darse/cli/usage.h"

#include <map>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/output/listing.h"

namespace darse::client {
namespace {

std::string Indented(const std::string& table) {
  std::string out;
  for (absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&out, "  ", line, "\n");
  }
  return out;
}

std::vector<std::string> FlagLine(const Flag& flag) {
  std::string name = flag.letter ? absl::StrCat("-", std::string(1, flag.letter), ", ") : "    ";
  absl::StrAppend(&name, "--", flag.name);
  if (flag.kind != Flag::kSwitch) absl::StrAppend(&name, " ", flag.placeholder);
  std::string help = flag.help;
  if (flag.kind == Flag::kTexts) help += " (may be repeated)";
  if (flag.choices != nullptr && flag.choices[0] != '@') {
    absl::StrAppend(&help, " (", absl::StrJoin(absl::StrSplit(flag.choices, '|'), ", "), ")");
  }
  return {name, help};
}

std::string FlagTable(std::span<const Flag> flags) {
  std::vector<std::vector<std::string>> lines;
  for (const Flag& flag : flags) lines.push_back(FlagLine(flag));
  return Indented(Table(lines));
}

// "image ls" → "image"; "" for a verb of one word.
std::string TopicOf(absl::string_view name) {
  size_t blank = name.find(' ');
  return blank == absl::string_view::npos ? "" : std::string(name.substr(0, blank));
}

std::string FlagWords(std::span<const Flag> flags) {
  std::vector<std::string> words;
  for (const Flag& flag : flags) {
    words.push_back(absl::StrCat("--", flag.name));
    if (flag.letter) words.push_back(absl::StrCat("-", std::string(1, flag.letter)));
  }
  return absl::StrJoin(words, " ");
}

// The shell command that fills COMPREPLY for a kind of value.
std::string Completer(const char* choices) {
  if (choices == nullptr) return "COMPREPLY=()";
  const std::string kind = choices;
  if (kind[0] != '@') {
    return absl::StrCat("COMPREPLY=($(compgen -W '", absl::StrJoin(absl::StrSplit(kind, '|'), " "),
                        "' -- \"$word\"))");
  }
  if (kind == "@file") return "COMPREPLY=($(compgen -f -- \"$word\"))";
  static const auto* const kLists = new std::map<std::string, std::string>{
      {"@container", "ps -a --format '{{.Names}}'"},
      {"@image", "images --format '{{.Repository}}:{{.Tag}}'"},
      {"@volume", "volume ls -q"},
      {"@network", "network ls --format '{{.Name}}'"},
      {"@stack", "stacks -q"},
  };
  auto list = kLists->find(kind);
  if (list == kLists->end()) return "COMPREPLY=()";
  return absl::StrCat("COMPREPLY=($(compgen -W \"$(darse ", list->second,
                      " 2>/dev/null)\" -- \"$word\"))");
}

}  // namespace

std::string Overview(std::span<const Verb* const> verbs, absl::string_view topic) {
  std::string out;
  if (topic.empty()) {
    out =
        "darse: containers, images, builds, stacks and their figures on this machine\n\n"
        "usage: darse VERB [flags] [arguments]\n\n";
  } else {
    out = absl::StrCat("usage: darse ", topic, " VERB [flags] [arguments]\n\n");
  }
  std::vector<std::vector<std::string>> lines;
  for (const Verb* verb : verbs) {
    if (topic.empty() || TopicOf(verb->name) == topic) lines.push_back({verb->name, verb->summary});
  }
  absl::StrAppend(&out, Indented(Table(lines)));
  if (topic.empty()) {
    absl::StrAppend(&out, "\nflags of all verbs:\n", FlagTable(GlobalFlags()),
                    "\nexit codes: 0 done; 1 refused or failed; 2 bad usage; 75 a service is "
                    "missing, try again later;\n125, 126, 127 darse could not start the container, "
                    "its command is not executable, not found;\n130 interrupted; otherwise the "
                    "container's own.\n");
  }
  absl::StrAppend(&out, "\n`darse help ", topic, topic.empty() ? "" : " ", "VERB` explains one.\n");
  return out;
}

std::string VerbHelp(const Verb& verb) {
  std::string out = absl::StrCat("darse ", verb.name, ": ", verb.summary, "\n\nusage: darse ",
                                 verb.name, verb.flags.empty() ? "" : " [flags]",
                                 verb.arguments[0] ? " " : "", verb.arguments, "\n");
  if (!verb.aliases.empty()) {
    absl::StrAppend(&out, "also: ");
    std::vector<std::string> names;
    for (const char* alias : verb.aliases) names.push_back(absl::StrCat("darse ", alias));
    absl::StrAppend(&out, absl::StrJoin(names, ", "), "\n");
  }
  if (verb.text != nullptr) absl::StrAppend(&out, "\n", verb.text, "\n");
  if (!verb.flags.empty()) absl::StrAppend(&out, "\nflags:\n", FlagTable(verb.flags));
  if (verb.examples[0] != 0) {
    absl::StrAppend(&out, "\nexamples:\n");
    for (absl::string_view line : absl::StrSplit(verb.examples, '\n', absl::SkipEmpty())) {
      absl::StrAppend(&out, "  ", line, "\n");
    }
  }
  return out;
}

std::string BashCompletion(std::span<const Verb* const> verbs) {
  // Words that may stand first, and second behind each topic.
  std::set<std::string> firsts = {"help"};
  std::map<std::string, std::set<std::string>> seconds;
  std::string flags_of;
  std::string value_of;
  std::string arguments_of;
  for (const Verb* verb : verbs) {
    std::vector<std::string> names = {verb->name};
    for (const char* alias : verb->aliases) names.push_back(alias);
    for (const std::string& name : names) {
      const std::string topic = TopicOf(name);
      firsts.insert(topic.empty() ? name : topic);
      if (!topic.empty()) seconds[topic].insert(name.substr(topic.size() + 1));
    }
    const std::string pattern = absl::StrJoin(
        names, "|",
        [](std::string* out, const std::string& name) { absl::StrAppend(out, "'", name, "'"); });
    absl::StrAppend(&flags_of, "    ", pattern, ") flags='", FlagWords(verb->flags), " ",
                    FlagWords(GlobalFlags()), "' ;;\n");
    for (const Flag& flag : verb->flags) {
      if (flag.kind == Flag::kSwitch) continue;
      for (const std::string& name : names) {
        absl::StrAppend(&value_of, "    '", name, " --", flag.name, "'");
        if (flag.letter)
          absl::StrAppend(&value_of, "|'", name, " -", std::string(1, flag.letter), "'");
        absl::StrAppend(&value_of, ") ", Completer(flag.choices), "; return ;;\n");
      }
    }
    if (verb->completes != nullptr) {
      absl::StrAppend(&arguments_of, "    ", pattern, ") ", Completer(verb->completes), " ;;\n");
    }
  }
  std::string topics;
  for (const auto& [topic, words] : seconds) {
    absl::StrAppend(&topics, "    '", topic, "') second='", absl::StrJoin(words, " "), "' ;;\n");
  }
  return absl::StrCat(
      "# bash completion for darse: source <(darse completion bash)\n"
      "_darse() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local verb= second= flags= i\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    case ${COMP_WORDS[i]} in -*|help) ;; *)\n"
      "      if [ -z \"$verb\" ]; then verb=${COMP_WORDS[i]}; else break; fi ;;\n"
      "    esac\n"
      "  done\n"
      "  if [ -z \"$verb\" ]; then\n"
      "    COMPREPLY=($(compgen -W '",
      absl::StrJoin(firsts, " "),
      "' -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case $verb in\n",
      topics,
      "  esac\n"
      "  if [ -n \"$second\" ]; then\n"
      "    if ((i >= COMP_CWORD)); then\n"
      "      COMPREPLY=($(compgen -W \"$second\" -- \"$word\"))\n"
      "      return\n"
      "    fi\n"
      "    verb=\"$verb ${COMP_WORDS[i]}\"\n"
      "  fi\n"
      "  case \"$verb $before\" in\n",
      value_of,
      "  esac\n"
      "  case $verb in\n",
      flags_of,
      "  esac\n"
      "  if [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case $verb in\n",
      arguments_of,
      "  esac\n"
      "}\n"
      "complete -o default -F _darse darse\n");
}

}  // namespace darse::client
