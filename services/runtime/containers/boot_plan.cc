#include "services/runtime/containers/boot_plan.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace darse::runtime {
namespace {

constexpr char kProject[] = "com.docker.compose.project";
constexpr char kService[] = "com.docker.compose.service";
constexpr char kDependsOn[] = "com.docker.compose.depends_on";

std::string Label(const ContainerRecord& container, const char* key) {
  auto found = container.merged.labels().find(key);
  return found == container.merged.labels().end() ? "" : found->second;
}

// Keys under which others may name this container.
std::vector<std::string> KeysOf(const ContainerRecord& container) {
  std::vector<std::string> keys = {container.id, container.name};
  std::string service = Label(container, kService);
  if (!service.empty()) keys.push_back(absl::StrCat(Label(container, kProject), "\n", service));
  return keys;
}

std::vector<std::string> DependenciesOf(const ContainerRecord& container) {
  std::vector<std::string> keys;
  const std::string& network = container.spec.network_container();
  if (!network.empty()) keys.push_back(network);
  for (absl::string_view entry :
       absl::StrSplit(Label(container, kDependsOn), ',', absl::SkipEmpty())) {
    std::vector<std::string> parts = absl::StrSplit(entry, ':');
    keys.push_back(absl::StrCat(Label(container, kProject), "\n", parts[0]));
  }
  return keys;
}

}  // namespace

bool WantsRestart(const ContainerRecord& container, bool was_alive) {
  switch (container.spec.restart_policy().kind()) {
    case v1::RestartPolicy::ALWAYS:
      return was_alive || container.started_at != absl::InfinitePast();
    case v1::RestartPolicy::UNLESS_STOPPED:
      return container.started_at != absl::InfinitePast() && !container.stop_requested;
    case v1::RestartPolicy::ON_FAILURE:
      return was_alive && !container.stop_requested;
    default:
      return false;
  }
}

std::vector<std::string> PlanBoot(const std::vector<ContainerRecord>& containers) {
  std::vector<const ContainerRecord*> wanted;
  for (const ContainerRecord& container : containers) {
    if (WantsRestart(container, IsLive(container.state))) wanted.push_back(&container);
  }
  std::sort(wanted.begin(), wanted.end(), [](const ContainerRecord* a, const ContainerRecord* b) {
    return std::tie(a->created_at, a->id) < std::tie(b->created_at, b->id);
  });
  std::multimap<std::string, const ContainerRecord*> by_key;
  for (const ContainerRecord* container : wanted) {
    for (const std::string& key : KeysOf(*container)) by_key.emplace(key, container);
  }
  std::vector<std::string> order;
  std::set<const ContainerRecord*> visited;
  std::function<void(const ContainerRecord*)> visit = [&](const ContainerRecord* container) {
    if (!visited.insert(container).second) return;
    for (const std::string& key : DependenciesOf(*container)) {
      auto [begin, end] = by_key.equal_range(key);
      for (auto it = begin; it != end; ++it) visit(it->second);
    }
    order.push_back(container->id);
  };
  for (const ContainerRecord* container : wanted) visit(container);
  return order;
}

}  // namespace darse::runtime
