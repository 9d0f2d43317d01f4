// The table of verbs. Each is defined in the file of its name, small families (start, stop, …;
// volume …) in one.
#pragma once

#include <span>
#include <vector>

#include "tools/darse/cli/verb.h"

namespace darse::client {

// In the order in which `darse help` shows them.
std::span<const Verb* const> AllVerbs();

const Verb& RunVerb();
const Verb& CreateVerb();
const Verb& PsVerb();
const Verb& StatusVerb();
const Verb& UpVerb();
const Verb& DownVerb();
const Verb& ExecVerb();
const Verb& AttachVerb();
const Verb& EventsVerb();
const Verb& TopVerb();
const Verb& MetricsVerb();
std::vector<const Verb*> LifecycleVerbs();
std::vector<const Verb*> ObserveVerbs();
std::vector<const Verb*> VolumeVerbs();
std::vector<const Verb*> NetworkVerbs();
std::vector<const Verb*> ImageVerbs();
std::vector<const Verb*> ImageArchiveVerbs();
std::vector<const Verb*> NodeVerbs();
std::vector<const Verb*> BuildVerbs();
std::vector<const Verb*> StackVerbs();

}  // namespace darse::client
