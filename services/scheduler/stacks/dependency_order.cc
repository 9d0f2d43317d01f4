#include "services/scheduler/stacks/dependency_order.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/status_macros.h"

namespace darse::scheduler {
namespace {

bool IsStackName(absl::string_view name) {
  if (name.empty() || name.size() > 63 ||
      !(absl::ascii_islower(name[0]) || absl::ascii_isdigit(name[0]))) {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-';
  });
}

bool IsServiceName(absl::string_view name) {
  if (name.empty() || name.size() > 63 || !absl::ascii_isalnum(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
  });
}

// Depth first; `trail` is the way from a root to the service being visited.
class Sorter {
 public:
  explicit Sorter(const v1::StackSpec& spec) {
    for (const v1::ServiceSpec& service : spec.services()) by_name_[service.name()] = &service;
  }

  absl::Status Visit(const v1::ServiceSpec& service) {
    if (done_.contains(service.name())) return absl::OkStatus();
    const auto again = std::find(trail_.begin(), trail_.end(), service.name());
    if (again != trail_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "services depend on each other in a circle: ", absl::StrJoin(again, trail_.end(), " -> "),
          " -> ", service.name()));
    }
    trail_.push_back(service.name());
    for (const v1::Dependency& dependency : service.depends_on()) {
      const auto found = by_name_.find(dependency.service());
      if (found != by_name_.end()) {
        RETURN_IF_ERROR(Visit(*found->second));
      } else if (dependency.required()) {
        return absl::InvalidArgumentError(absl::StrCat("service ", service.name(), " depends on ",
                                                       dependency.service(),
                                                       ", which is not in the stack"));
      }
    }
    trail_.pop_back();
    done_.insert(service.name());
    order_.push_back(&service);
    return absl::OkStatus();
  }

  std::vector<const v1::ServiceSpec*> Take() { return std::move(order_); }

 private:
  std::map<std::string, const v1::ServiceSpec*> by_name_;
  std::vector<std::string> trail_;
  std::set<std::string> done_;
  std::vector<const v1::ServiceSpec*> order_;
};

}  // namespace

absl::StatusOr<std::vector<const v1::ServiceSpec*>> DependencyOrder(const v1::StackSpec& spec) {
  Sorter sorter(spec);
  for (const v1::ServiceSpec& service : spec.services()) RETURN_IF_ERROR(sorter.Visit(service));
  return sorter.Take();
}

absl::Status ValidateStack(const v1::StackSpec& spec) {
  if (!IsStackName(spec.name())) {
    return absl::InvalidArgumentError(absl::StrCat("\"", spec.name(), "\" is no name of a stack"));
  }
  std::set<std::string> names;
  std::set<std::string> container_names;
  std::set<std::string> networks;
  std::set<std::string> volumes;
  for (const v1::NetworkSpec& network : spec.networks()) {
    if (network.name().empty()) return absl::InvalidArgumentError("a network has no name");
    if (!networks.insert(network.name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("network ", network.name(), " is there twice"));
    }
  }
  for (const v1::VolumeSpec& volume : spec.volumes()) {
    if (volume.name().empty()) return absl::InvalidArgumentError("a volume has no name");
    volumes.insert(volume.name());
  }
  for (const v1::ServiceSpec& service : spec.services()) {
    if (!IsServiceName(service.name())) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", service.name(), "\" is no name of a service"));
    }
    if (!names.insert(service.name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("service ", service.name(), " is there twice"));
    }
    if (!service.container_name().empty() &&
        !container_names.insert(service.container_name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("container_name ", service.container_name(), " is there twice"));
    }
    if (service.replicas() > 1 && !service.container_name().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("service ", service.name(), ": replicas must fit its container_name"));
    }
    if (service.container().image().empty()) {
      return absl::InvalidArgumentError(absl::StrCat("service ", service.name(), " has no image"));
    }
    for (const runtime::v1::NetworkAttachment& attachment : service.container().networks()) {
      if (!networks.contains(attachment.network())) {
        return absl::InvalidArgumentError(absl::StrCat("service ", service.name(), ": network ",
                                                       attachment.network(),
                                                       " is not in the stack"));
      }
    }
    for (const runtime::v1::Mount& mount : service.container().mounts()) {
      if (mount.type() == runtime::v1::MOUNT_TYPE_VOLUME && !mount.source().empty() &&
          !volumes.contains(mount.source())) {
        return absl::InvalidArgumentError(absl::StrCat("service ", service.name(), ": volume ",
                                                       mount.source(), " is not in the stack"));
      }
    }
  }
  return DependencyOrder(spec).status();
}

}  // namespace darse::scheduler
