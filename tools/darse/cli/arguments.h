// Reads a command line by the table of verbs, with docker's habits: --name=x, --name x, -n x, -nx,
// -it, flags and arguments mixed until "--" or, for run and exec, until the first argument.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/darse/cli/verb.h"

namespace darse::client {

// Reason of an error that is the user's way of asking: exit code 2.
inline constexpr char kBadUsage[] = "BAD_USAGE";
absl::Status UsageError(absl::string_view message);

// Flags and arguments of one call of a verb. Asking for a flag that the verb does not have is a bug
// and ends the program.
class Arguments {
 public:
  explicit Arguments(const Verb& verb) : verb_(&verb) {}

  const Verb& verb() const { return *verb_; }
  bool Has(absl::string_view flag) const;
  // `otherwise` if the flag was not given.
  bool On(absl::string_view flag, bool otherwise = false) const;
  std::string Text(absl::string_view flag, absl::string_view otherwise = "") const;
  int64_t Number(absl::string_view flag, int64_t otherwise) const;
  const std::vector<std::string>& Texts(absl::string_view flag) const;

  const std::vector<std::string>& positional() const { return positional_; }
  // Empty if there are fewer.
  std::string At(size_t index) const;

 private:
  friend class ArgumentReader;
  void CheckDeclared(absl::string_view flag) const;

  const Verb* verb_;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> positional_;
};

struct CommandLine {
  // Null if only help or the version was asked for.
  const Verb* verb = nullptr;
  Arguments arguments;
  // Flags of all verbs: --run, --root, --config with their values, as "--run=DIR".
  std::vector<std::string> global_flags;
  bool help = false;
  bool version = false;
  // Words that name no verb but begin one ("image"); with `help`.
  std::string topic;
};

// `words` is argv without argv[0]. INVALID_ARGUMENT with reason BAD_USAGE and a message that says
// what to do.
absl::StatusOr<CommandLine> ReadCommandLine(std::span<const Verb* const> verbs,
                                            const std::vector<std::string>& words);

// Flags that stand before or after any verb.
std::span<const Flag> GlobalFlags();

// Those of `candidates` that are close to a mistyped `word`, closest first; at most three.
std::vector<std::string> CloseTo(absl::string_view word,
                                 const std::vector<std::string>& candidates);

}  // namespace darse::client
