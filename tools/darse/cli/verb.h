// What a verb of the client is: one entry of the table that parsing, help and completion are made
// from.
#pragma once

#include <vector>

#include "absl/status/statusor.h"

namespace darse::client {

class Arguments;
class Session;

struct Flag {
  enum Kind {
    kSwitch,  // --detach, --detach=false
    kText,    // --name x; the last one counts
    kTexts,   // --env a --env b
    kNumber,  // --tail 10
  };
  // Without dashes.
  const char* name;
  // 0: none.
  char letter;
  Kind kind;
  // What the value is, in help: "KEY=VALUE". Ignored for a switch.
  const char* placeholder;
  const char* help;
  // "a|b|c": no other value is taken. "@file", "@image", "@container", "@volume", "@network",
  // "@stack": what the shell completes. Null: anything.
  const char* choices = nullptr;
};

struct Verb {
  // "ps", "image ls".
  const char* name;
  const char* summary;
  // "IMAGE [COMMAND [ARGUMENT…]]"
  const char* arguments;
  int min_arguments = 0;
  // -1: any number.
  int max_arguments = 0;
  // Flags end at the first argument: what follows belongs to a command in the container.
  bool ends_at_first_argument = false;
  std::vector<Flag> flags = {};
  // Lines, each a command with an optional "  # remark".
  const char* examples = "";
  // Paragraphs below the usage line; may be null.
  const char* text = nullptr;
  // What the shell completes arguments to, as Flag::choices.
  const char* completes = nullptr;
  // Other names: "image list".
  std::vector<const char*> aliases = {};
  // Answers the exit code.
  absl::StatusOr<int> (*run)(Session& session, const Arguments& arguments) = nullptr;
};

// "--format" and the like look the same everywhere.
inline constexpr Flag kFormatFlag = {"format", 0, Flag::kText, "FORMAT",
                                     "json, table, or a template such as '{{.Name}}'"};
inline constexpr Flag kQuietFlag = {"quiet", 'q', Flag::kSwitch, "", "print ids or names only"};
inline constexpr Flag kNoTruncFlag = {"no-trunc", 0, Flag::kSwitch, "", "do not shorten anything"};

}  // namespace darse::client
