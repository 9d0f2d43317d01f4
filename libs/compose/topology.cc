#include "libs/compose/topology.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace darse::compose {
namespace {

constexpr char kDefaultNetwork[] = "default";

struct External {
  bool external = false;
  std::string name;
};

// `external: true`, and the older `external: {name: x}`.
void DecodeExternal(Scope& scope, const At& at, External& external) {
  if (at.node->IsMapping()) {
    external.external = true;
    scope.values.Keys(at, {{"name", [&](const At& value) {
                              external.name = scope.values.Text(value).value_or("");
                            }}});
  } else {
    external.external = scope.values.Bool(at).value_or(false);
  }
}

void RefuseUnlessEmpty(Scope& scope, const At& at) {
  if (!at.node->entries.empty() || !at.node->items.empty())
    scope.values.Refuse(at, "not supported yet");
}

void DecodeLabels(Scope& scope, const At& at,
                  google::protobuf::Map<std::string, std::string>& labels) {
  for (const Pair& pair : scope.values.Pairs(at)) {
    if (absl::StartsWith(pair.key, "darse.")) {
      scope.errors.Add(pair.position, at.path,
                       absl::StrCat("labels that begin with \"darse.\" are Darse's own"));
    }
    labels[pair.key] = pair.value.value_or("");
  }
}

void DecodeIpam(Scope& scope, const At& at, scheduler::v1::NetworkSpec& network) {
  const auto pool = [&](const At& item) {
    scope.values.Keys(item, {{"subnet", [&](const At& value) {
                                network.set_subnet(scope.values.Text(value).value_or(""));
                              }}});
  };
  scope.values.Keys(at, {
                            {"driver",
                             [&](const At& value) {
                               if (value.node->text != "default")
                                 scope.values.Refuse(value, "not supported yet");
                             }},
                            {"config",
                             [&](const At& value) {
                               if (!value.node->IsSequence())
                                 return scope.values.Refuse(value, "must be a list");
                               if (value.node->items.size() > 1)
                                 scope.values.Refuse(value,
                                                     "more than one subnet: not supported yet");
                               if (!value.node->items.empty()) pool(value.Item(0));
                             }},
                        });
}

void DecodeNetwork(Scope& scope, const At& at, absl::string_view key,
                   scheduler::v1::StackSpec& stack) {
  scheduler::v1::NetworkSpec network;
  External external;
  network.set_key(std::string(key));
  if (!at.node->IsNull()) {
    scope.values.Keys(
        at, {
                {"name",
                 [&](const At& value) { network.set_name(scope.values.Text(value).value_or("")); }},
                {"external", [&](const At& value) { DecodeExternal(scope, value, external); }},
                {"internal",
                 [&](const At& value) {
                   network.set_internal(scope.values.Bool(value).value_or(false));
                 }},
                // Only swarm's networks are not attachable.
                {"attachable", [&](const At& value) { scope.values.Bool(value); }},
                {"enable_ipv6",
                 [&](const At& value) {
                   if (scope.values.Bool(value).value_or(false))
                     scope.values.Refuse(value, "not supported yet");
                 }},
                {"driver",
                 [&](const At& value) {
                   if (value.node->text != "bridge" && value.node->text != "default") {
                     scope.values.Refuse(
                         value, absl::StrCat("\"", value.node->text, "\": not supported yet"));
                   }
                 }},
                {"driver_opts", [&](const At& value) { RefuseUnlessEmpty(scope, value); }},
                {"ipam", [&](const At& value) { DecodeIpam(scope, value, network); }},
                {"labels",
                 [&](const At& value) { DecodeLabels(scope, value, *network.mutable_labels()); }},
            });
  }
  network.set_external(external.external);
  if (!external.name.empty()) network.set_name(external.name);
  if (network.name().empty()) {
    network.set_name(external.external ? std::string(key) : absl::StrCat(scope.project, "_", key));
  }
  scope.networks[std::string(key)] = network.name();
  *stack.add_networks() = std::move(network);
}

void DecodeVolume(Scope& scope, const At& at, absl::string_view key,
                  scheduler::v1::StackSpec& stack) {
  scheduler::v1::VolumeSpec volume;
  External external;
  volume.set_key(std::string(key));
  if (!at.node->IsNull()) {
    scope.values.Keys(
        at, {
                {"name",
                 [&](const At& value) { volume.set_name(scope.values.Text(value).value_or("")); }},
                {"external", [&](const At& value) { DecodeExternal(scope, value, external); }},
                {"driver",
                 [&](const At& value) {
                   if (value.node->text != "local" && value.node->text != "default") {
                     scope.values.Refuse(
                         value, absl::StrCat("\"", value.node->text, "\": not supported yet"));
                   }
                 }},
                {"driver_opts", [&](const At& value) { RefuseUnlessEmpty(scope, value); }},
                {"labels",
                 [&](const At& value) { DecodeLabels(scope, value, *volume.mutable_labels()); }},
            });
  }
  volume.set_external(external.external);
  if (!external.name.empty()) volume.set_name(external.name);
  if (volume.name().empty()) {
    volume.set_name(external.external ? std::string(key) : absl::StrCat(scope.project, "_", key));
  }
  scope.volumes[std::string(key)] = volume.name();
  *stack.add_volumes() = std::move(volume);
}

void Attach(Scope& scope, const At& at, absl::string_view key, const yaml::Node* settings,
            runtime::v1::ContainerSpec& container) {
  const auto found = scope.networks.find(std::string(key));
  if (found == scope.networks.end()) {
    return scope.values.Refuse(
        at, absl::StrCat("network \"", key, "\" is not declared under networks"));
  }
  runtime::v1::NetworkAttachment* attachment = container.add_networks();
  attachment->set_network(found->second);
  if (settings == nullptr || settings->IsNull()) return;
  scope.values.Keys({settings, absl::StrCat(at.path, ".", key)},
                    {
                        {"aliases",
                         [&](const At& value) {
                           for (std::string& alias : scope.values.Texts(value))
                             attachment->add_aliases(std::move(alias));
                         }},
                        {"ipv4_address",
                         [&](const At& value) {
                           attachment->set_ipv4_address(scope.values.Text(value).value_or(""));
                         }},
                    });
}

scheduler::v1::Dependency& AddDependency(scheduler::v1::ServiceSpec& service,
                                         absl::string_view name) {
  for (scheduler::v1::Dependency& dependency : *service.mutable_depends_on()) {
    if (dependency.service() == name) return dependency;
  }
  scheduler::v1::Dependency* dependency = service.add_depends_on();
  dependency->set_service(std::string(name));
  dependency->set_condition(scheduler::v1::Dependency::STARTED);
  dependency->set_required(true);
  return *dependency;
}

}  // namespace

void DecodeNetworks(Scope& scope, const At* at, scheduler::v1::StackSpec& stack) {
  if (at != nullptr && !at->node->IsNull()) {
    if (!at->node->IsMapping()) return scope.values.Refuse(*at, "must be a mapping");
    for (const yaml::Entry& entry : at->node->entries) {
      if (!absl::StartsWith(entry.key, "x-"))
        DecodeNetwork(scope, at->Key(entry), entry.key, stack);
    }
  }
  if (!scope.networks.contains(kDefaultNetwork)) {
    const yaml::Node none;
    DecodeNetwork(scope, {&none, "networks.default"}, kDefaultNetwork, stack);
  }
}

void DecodeVolumeKeys(Scope& scope, const At* at, scheduler::v1::StackSpec& stack) {
  if (at == nullptr || at->node->IsNull()) return;
  if (!at->node->IsMapping()) return scope.values.Refuse(*at, "must be a mapping");
  for (const yaml::Entry& entry : at->node->entries) {
    if (!absl::StartsWith(entry.key, "x-")) DecodeVolume(scope, at->Key(entry), entry.key, stack);
  }
}

void DecodeServiceNetworks(Scope& scope, const At& at, runtime::v1::ContainerSpec& container) {
  if (at.node->IsSequence()) {
    for (size_t i = 0; i < at.node->items.size(); ++i) {
      Attach(scope, at.Item(i), at.node->items[i].text, nullptr, container);
    }
  } else if (at.node->IsMapping()) {
    for (const yaml::Entry& entry : at.node->entries)
      Attach(scope, at, entry.key, &entry.value, container);
  } else {
    scope.values.Refuse(at, "must be a list or a mapping");
  }
}

void DecodeNetworkMode(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service) {
  runtime::v1::ContainerSpec& container = *service.mutable_container();
  absl::string_view mode = at.node->text;
  if (mode == "bridge") {
    container.set_network_mode(runtime::v1::NETWORK_MODE_BRIDGE);
  } else if (mode == "none") {
    container.set_network_mode(runtime::v1::NETWORK_MODE_NONE);
  } else if (mode == "host") {
    container.set_network_mode(runtime::v1::NETWORK_MODE_HOST);
  } else if (absl::ConsumePrefix(&mode, "service:")) {
    container.set_network_mode(runtime::v1::NETWORK_MODE_CONTAINER);
    container.set_network_container(at.node->text);
    AddDependency(service, mode);
  } else if (absl::ConsumePrefix(&mode, "container:")) {
    container.set_network_mode(runtime::v1::NETWORK_MODE_CONTAINER);
    container.set_network_container(std::string(mode));
  } else {
    scope.values.Refuse(at, absl::StrCat("\"", mode, "\": not supported yet"));
  }
}

void DecodeDependsOn(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service) {
  if (at.node->IsSequence()) {
    for (const std::string& name : scope.values.Texts(at)) AddDependency(service, name);
    return;
  }
  if (!at.node->IsMapping()) return scope.values.Refuse(at, "must be a list or a mapping");
  for (const yaml::Entry& entry : at.node->entries) {
    scheduler::v1::Dependency& dependency = AddDependency(service, entry.key);
    if (entry.value.IsNull()) continue;
    scope.values.Keys(
        at.Key(entry),
        {
            {"condition",
             [&](const At& value) {
               const std::string& text = value.node->text;
               if (text == "service_started") return;
               if (text == "service_healthy") {
                 dependency.set_condition(scheduler::v1::Dependency::HEALTHY);
               } else if (text == "service_completed_successfully") {
                 dependency.set_condition(scheduler::v1::Dependency::COMPLETED);
               } else {
                 scope.values.Refuse(
                     value,
                     "must be service_started, service_healthy or service_completed_successfully");
               }
             }},
            {"restart",
             [&](const At& value) {
               dependency.set_restart(scope.values.Bool(value).value_or(false));
             }},
            {"required",
             [&](const At& value) {
               dependency.set_required(scope.values.Bool(value).value_or(true));
             }},
        });
  }
}

}  // namespace darse::compose
