// Help texts and the bash completion, all made from the table of verbs.
#pragma once

#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "tools/darse/cli/verb.h"

namespace darse::client {

// `darse help`: every verb with its summary, by group. With a `topic` ("image"): only "image …".
std::string Overview(std::span<const Verb* const> verbs, absl::string_view topic = "");
// `darse help VERB`.
std::string VerbHelp(const Verb& verb);
// To be read by bash with `source <(darse completion bash)`.
std::string BashCompletion(std::span<const Verb* const> verbs);

}  // namespace darse::client
