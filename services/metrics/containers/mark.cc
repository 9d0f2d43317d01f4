#include "services/metrics/containers/mark.h"

#include "absl/strings/str_cat.h"

namespace darse::metrics {
namespace {

constexpr char kStack[] = "darse.stack";
constexpr char kService[] = "darse.service";
constexpr char kSlot[] = "darse.slot";
constexpr char kConfigHash[] = "darse.config_hash";

std::string Get(const std::map<std::string, std::string>& map, const char* key) {
  auto found = map.find(key);
  return found == map.end() ? std::string() : found->second;
}

}  // namespace

std::string SubjectOf(const std::map<std::string, std::string>& labels, absl::string_view name) {
  std::string stack = Get(labels, kStack), service = Get(labels, kService);
  if (stack.empty() || service.empty()) return std::string(name);
  std::string slot = Get(labels, kSlot);
  return absl::StrCat(stack, "/", service, "/", slot.empty() ? "1" : slot);
}

std::optional<Mark> MarkOf(const RuntimeEvent& event, Deployments& deployments) {
  if (event.kind != "container") return std::nullopt;
  std::string name = Get(event.attributes, "name");
  Mark mark{.sequence = event.sequence,
            .time = event.time,
            .subject = SubjectOf(event.attributes, name.empty() ? event.id : name),
            .action = event.action};
  if (event.action == "create") {
    std::string hash = Get(event.attributes, kConfigHash);
    if (hash.empty() || deployments[mark.subject] == hash) return std::nullopt;
    deployments[mark.subject] = hash;
    mark.action = "deploy";
    mark.text = Get(event.attributes, "image");
    return mark;
  }
  if (event.action == "die") {
    mark.text = absl::StrCat("exit code ", Get(event.attributes, "exitCode"));
    return mark;
  }
  if (event.action == "start" || event.action == "restart") {
    mark.text = Get(event.attributes, "image");
    return mark;
  }
  if (event.action == "oom" || event.action == "kill" || event.action == "stop" ||
      event.action == "pause" || event.action == "unpause") {
    return mark;
  }
  return std::nullopt;
}

}  // namespace darse::metrics
