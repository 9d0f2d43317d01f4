#include "tools/darse/verbs.h"

namespace darse::client {

std::span<const Verb* const> AllVerbs() {
  static const auto* const kVerbs = [] {
    auto* verbs = new std::vector<const Verb*>{
        &StatusVerb(), &UpVerb(),     &DownVerb(),   &RunVerb(), &CreateVerb(), &PsVerb(),
        &ExecVerb(),   &AttachVerb(), &EventsVerb(), &TopVerb(), &MetricsVerb()};
    for (auto family : {StackVerbs, BuildVerbs, LifecycleVerbs, ObserveVerbs, ImageVerbs,
                        ImageArchiveVerbs, VolumeVerbs, NetworkVerbs, NodeVerbs}) {
      const std::vector<const Verb*> members = family();
      verbs->insert(verbs->end(), members.begin(), members.end());
    }
    return verbs;
  }();
  return *kVerbs;
}

}  // namespace darse::client
