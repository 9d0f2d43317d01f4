#include "services/scheduler/stacks/plan.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "services/scheduler/stacks/container_config.h"
#include "services/scheduler/stacks/dependency_order.h"

namespace darse::scheduler {
namespace {

using runtime::v1::Container;
using Action = v1::PlanStep;

bool IsAlive(const Container& container) {
  return container.state() == runtime::v1::CONTAINER_STATE_RUNNING ||
         container.state() == runtime::v1::CONTAINER_STATE_PAUSED ||
         container.state() == runtime::v1::CONTAINER_STATE_RESTARTING;
}

absl::string_view ConditionWords(v1::Dependency::Condition condition) {
  switch (condition) {
    case v1::Dependency::HEALTHY:
      return "to be healthy";
    case v1::Dependency::COMPLETED:
      return "to complete";
    default:
      return "to be started";
  }
}

// Makes one plan; used once.
class Planner {
 public:
  explicit Planner(const PlanInput& input) : in_(input), stack_(input.desired.spec) {}

  Plan Make() {
    SortContainers();
    if (in_.desired.removing) {
      PlanRemoval();
    } else {
      PlanNetworks();
      PlanVolumes();
      const auto order = DependencyOrder(stack_);
      // ValidateStack kept circles out.
      if (order.ok()) {
        for (const v1::ServiceSpec* service : *order) PlanService(*service);
      }
      PlanOrphans();
    }
    if (!in_.runtime_missing.empty()) BlockAllFor(in_.runtime_missing, /*builds=*/false);
    if (!in_.builder_missing.empty()) BlockAllFor(in_.builder_missing, /*builds=*/true);
    return std::move(plan_);
  }

 private:
  const ServiceRecord& RecordOf(const std::string& service) const {
    static const auto* const kNone = new ServiceRecord;
    const auto found = in_.desired.services.find(service);
    return found == in_.desired.services.end() ? *kNone : found->second;
  }

  // By service and slot; of two for one slot the better one stays and the other goes.
  void SortContainers() {
    for (const auto& [id, seen] : in_.observed.containers) {
      const Container& container = *seen.container;
      if (Label(container, kStackLabel) != stack_.name()) continue;
      int32_t number = 0;
      (void)absl::SimpleAtoi(Label(container, kSlotLabel), &number);
      const Slot slot{Label(container, kServiceLabel), number};
      by_slot_[slot].push_back(&container);
    }
    for (auto& [slot, containers] : by_slot_) {
      std::stable_sort(containers.begin(), containers.end(),
                       [](const Container* a, const Container* b) {
                         if (IsAlive(*a) != IsAlive(*b)) return IsAlive(*a);
                         return FromProto(a->create_time()) < FromProto(b->create_time());
                       });
    }
  }

  Step& Add(v1::PlanStep::Action action, absl::string_view subject, absl::string_view name,
            absl::string_view reason, std::string key) {
    plan_.steps.push_back({.action = action,
                           .subject = std::string(subject),
                           .name = std::string(name),
                           .reason = std::string(reason),
                           .key = std::move(key)});
    return plan_.steps.back();
  }

  Step& AddFor(v1::PlanStep::Action action, const Slot& slot, const Container& container,
               absl::string_view reason) {
    Step& step = Add(action, slot.first, container.name(), reason,
                     absl::StrCat(slot.first, "/", slot.second));
    step.slot = slot.second;
    step.container_id = container.id();
    return step;
  }

  static void BlockBy(Step& step, Block block, absl::string_view waiting) {
    if (step.block != Block::kNone) return;
    step.block = block;
    step.waiting = std::string(waiting);
  }

  void BlockAllFor(absl::string_view missing, bool builds) {
    for (Step& step : plan_.steps) {
      // A build needs the builder; that the builder waits for the runtime is its own affair.
      if ((step.action == Action::BUILD_IMAGE) != builds || step.block != Block::kNone) continue;
      step.block = Block::kPeer;
      step.waiting = absl::StrCat("waiting for ", missing);
    }
  }

  // --- networks and volumes
  // -------------------------------------------------------------------------------------

  // Containers of this stack on a network.
  std::vector<std::pair<Slot, const Container*>> On(const runtime::v1::Network& network) const {
    std::vector<std::pair<Slot, const Container*>> on;
    for (const auto& [slot, containers] : by_slot_) {
      for (const Container* container : containers) {
        const auto& attached = container->spec().networks();
        if (std::any_of(attached.begin(), attached.end(),
                        [&](const runtime::v1::NetworkAttachment& attachment) {
                          return attachment.network() == network.name() ||
                                 attachment.network() == network.id();
                        })) {
          on.emplace_back(slot, container);
        }
      }
    }
    return on;
  }

  void PlanNetworks() {
    for (const v1::NetworkSpec& network : stack_.networks()) {
      const auto seen = in_.observed.networks.find(network.name());
      const std::string key = absl::StrCat("network ", network.name());
      if (seen == in_.observed.networks.end()) {
        blocked_networks_[network.name()] =
            absl::StrCat("network ", network.name(), " comes first");
        Step& step =
            Add(Action::CREATE_NETWORK, network.key(), network.name(), "is not there", key);
        if (network.external()) {
          BlockBy(step, Block::kFailed,
                  absl::StrCat("external network ", network.name(),
                               " is not there: make it with `darse network create ", network.name(),
                               "`"));
        }
        continue;
      }
      const auto hash = seen->second.labels().find(kHashLabel);
      // A network without our label was there before: it is used as it is.
      if (network.external() || hash == seen->second.labels().end() ||
          hash->second == NetworkHash(network))
        continue;
      ReplaceNetwork(network, seen->second, key);
    }
  }

  void ReplaceNetwork(const v1::NetworkSpec& network, const runtime::v1::Network& seen,
                      const std::string& key) {
    const std::string reason = absl::StrCat("network ", network.name(), " changed");
    blocked_networks_[network.name()] = absl::StrCat("network ", network.name(), " comes first");
    const auto on = On(seen);
    for (const auto& [slot, container] : on) {
      AddFor(Action::DELETE_CONTAINER, slot, *container, reason);
      going_.insert(container->id());
    }
    Step& remove =
        Add(Action::DELETE_NETWORK, network.key(), network.name(), "its settings changed", key);
    if (!on.empty()) BlockBy(remove, Block::kOrder, "its containers go first");
    BlockBy(Add(Action::CREATE_NETWORK, network.key(), network.name(), "its settings changed", key),
            Block::kOrder, "the old one goes first");
  }

  void PlanVolumes() {
    for (const v1::VolumeSpec& volume : stack_.volumes()) {
      if (in_.observed.volumes.contains(volume.name())) continue;
      blocked_volumes_[volume.name()] = absl::StrCat("volume ", volume.name(), " comes first");
      Step& step = Add(Action::CREATE_VOLUME, volume.key(), volume.name(), "is not there",
                       absl::StrCat("volume ", volume.name()));
      if (volume.external()) {
        BlockBy(
            step, Block::kFailed,
            absl::StrCat("external volume ", volume.name(),
                         " is not there: make it with `darse volume create ", volume.name(), "`"));
      }
    }
  }

  // --- services
  // ---------------------------------------------------------------------------------------------------

  void PlanService(const v1::ServiceSpec& service) {
    const auto found = in_.images.find(service.name());
    const ImageState image = found == in_.images.end() ? ImageState{} : found->second;
    const size_t before = plan_.steps.size();
    if (image.needs_build) {
      Step& step = Add(Action::BUILD_IMAGE, service.name(), service.container().image(),
                       image.build_reason, absl::StrCat("build ", service.name()));
      if (!image.build_error.empty()) {
        BlockBy(step, Block::kFailed,
                absl::StrCat("building ", service.name(), ": ", image.build_error));
      }
    }
    for (int32_t slot = 1; slot <= Replicas(service); ++slot) PlanSlot(service, slot, image);
    for (const auto& [slot, containers] : by_slot_) {
      if (slot.first != service.name() || (slot.second >= 1 && slot.second <= Replicas(service)))
        continue;
      for (const Container* container : containers) {
        AddFor(Action::DELETE_CONTAINER, slot, *container,
               absl::StrCat(Replicas(service), " wanted"));
      }
    }
    if (plan_.steps.size() != before) busy_.insert(service.name());
  }

  void PlanSlot(const v1::ServiceSpec& service, int32_t number, const ImageState& image) {
    const Slot slot{service.name(), number};
    std::vector<const Container*> containers;
    if (const auto found = by_slot_.find(slot); found != by_slot_.end()) containers = found->second;
    for (size_t i = 1; i < containers.size(); ++i) {
      AddFor(Action::DELETE_CONTAINER, slot, *containers[i], "is a second one for its place");
    }
    const Container* container = containers.empty() ? nullptr : containers[0];
    const ServiceRecord& record = RecordOf(service.name());
    const TaskView view = ViewOf(container, record.up_time);
    const size_t before = plan_.steps.size();
    if (container == nullptr || going_.contains(container->id())) {
      PlanCreate(service, slot,
                 container == nullptr ? view.reason : "was on a network that changed", image);
    } else if (const std::string change = Change(service, slot, *container, image);
               !change.empty()) {
      PlanRecreate(service, slot, *container, change, image);
    } else if (view.wants_start) {
      PlanStart(service, slot, container->name(), container, view.reason);
    } else if (const std::string why = RestartReason(service, *container, record); !why.empty()) {
      BlockOnDependencies(service, AddFor(Action::RESTART_CONTAINER, slot, *container, why));
    }
    std::string waiting;
    for (size_t i = before; i < plan_.steps.size() && waiting.empty(); ++i)
      waiting = plan_.steps[i].waiting;
    plan_.tasks.push_back({slot, container == nullptr ? "" : container->id(), view, waiting});
  }

  // Why the container must be made again; empty if it need not.
  std::string Change(const v1::ServiceSpec& service, const Slot& slot, const Container& container,
                     const ImageState& image) const {
    if (FromProto(container.create_time()) < RecordOf(service.name()).recreate_time)
      return "asked for";
    // While the image is not known, the container stays as it is.
    if (image.needs_build && !image.build_error.empty()) return "";
    if (image.needs_build) return absl::StrCat("its image is built: ", image.build_reason);
    if (image.id.empty()) return "";
    if (Label(container, kHashLabel) == ConfigHash(stack_, service, slot.second, image.id))
      return "";
    const auto task = in_.desired.tasks.find(slot);
    if (task == in_.desired.tasks.end() || !task->second.made_of) return "configuration changed";
    return DescribeChange(*task->second.made_of, task->second.made_of_image, service, image.id);
  }

  void PlanCreate(const v1::ServiceSpec& service, const Slot& slot, absl::string_view reason,
                  const ImageState& image) {
    const std::string name = ContainerName(stack_, service, slot.second);
    Step& step = Add(Action::CREATE_CONTAINER, service.name(), name, reason,
                     absl::StrCat(slot.first, "/", slot.second));
    step.slot = slot.second;
    const auto gone = by_slot_.find(slot);
    if (gone != by_slot_.end()) BlockBy(step, Block::kOrder, "the old one goes first");
    BlockOnParts(service, image, step);
    PlanStart(service, slot, name, nullptr, "new");
  }

  void PlanRecreate(const v1::ServiceSpec& service, const Slot& slot, const Container& container,
                    absl::string_view reason, const ImageState& image) {
    Step& step = AddFor(Action::RECREATE_CONTAINER, slot, container, reason);
    BlockOnParts(service, image, step);
    // The old one runs until the new one could start.
    BlockOnDependencies(service, step);
    PlanStart(service, slot, ContainerName(stack_, service, slot.second), nullptr, "new");
  }

  void PlanStart(const v1::ServiceSpec& service, const Slot& slot, absl::string_view name,
                 const Container* container, absl::string_view reason) {
    Step& step = Add(Action::START_CONTAINER, service.name(), name, reason,
                     absl::StrCat(slot.first, "/", slot.second));
    step.slot = slot.second;
    if (container != nullptr) step.container_id = container->id();
    // What a dependency lacks says more than that the container itself is still to be made.
    BlockOnDependencies(service, step);
    if (container == nullptr) BlockBy(step, Block::kOrder, "the container is made first");
  }

  // Image, networks, volumes.
  void BlockOnParts(const v1::ServiceSpec& service, const ImageState& image, Step& step) {
    if (!image.build_error.empty()) {
      BlockBy(step, Block::kFailed,
              absl::StrCat("building ", service.name(), ": ", image.build_error));
    } else if (image.needs_build) {
      BlockBy(step, Block::kOrder, "its image is built first");
    } else if (image.id.empty() && !image.missing.empty()) {
      BlockBy(step, Block::kFailed, image.missing);
    }
    for (const runtime::v1::NetworkAttachment& attachment : service.container().networks()) {
      const auto blocked = blocked_networks_.find(attachment.network());
      if (blocked != blocked_networks_.end()) BlockBy(step, Block::kOrder, blocked->second);
    }
    for (const runtime::v1::Mount& mount : service.container().mounts()) {
      const auto blocked = blocked_volumes_.find(mount.source());
      if (mount.type() == runtime::v1::MOUNT_TYPE_VOLUME && blocked != blocked_volumes_.end()) {
        BlockBy(step, Block::kOrder, blocked->second);
      }
    }
    if (const v1::ServiceSpec* peer = NetworkPeer(service)) {
      if (!by_slot_.contains({peer->name(), 1})) {
        BlockBy(step, Block::kOrder, absl::StrCat("it uses the network of ", peer->name()));
      }
    }
  }

  // The service whose network this one uses.
  const v1::ServiceSpec* NetworkPeer(const v1::ServiceSpec& service) const {
    absl::string_view name = service.container().network_container();
    if (service.container().network_mode() != runtime::v1::NETWORK_MODE_CONTAINER ||
        !absl::ConsumePrefix(&name, "service:")) {
      return nullptr;
    }
    return in_.desired.FindService(name);
  }

  void BlockOnDependencies(const v1::ServiceSpec& service, Step& step) {
    for (const v1::Dependency& dependency : service.depends_on()) {
      const v1::ServiceSpec* needed = in_.desired.FindService(dependency.service());
      if (needed == nullptr) continue;
      const std::string waiting =
          absl::StrCat("waiting for ", needed->name(), " ", ConditionWords(dependency.condition()));
      if (busy_.contains(needed->name())) {
        BlockBy(step, WorstBlockOf(needed->name()), waiting);
        continue;
      }
      for (int32_t slot = 1; slot <= Replicas(*needed); ++slot) {
        const auto found = by_slot_.find({needed->name(), slot});
        if (found == by_slot_.end()) continue;
        BlockOnContainer(*found->second[0], dependency, waiting, step);
      }
    }
  }

  static void BlockOnContainer(const Container& container, const v1::Dependency& dependency,
                               const std::string& waiting, Step& step) {
    if (Satisfies(container, dependency.condition())) return;
    if (!CannotSatisfy(container, dependency.condition())) {
      const bool unhealthy = container.health().status() == runtime::v1::Health::UNHEALTHY;
      return BlockBy(step, Block::kCondition,
                     absl::StrCat(waiting, unhealthy ? " (it is unhealthy)" : ""));
    }
    const bool no_check = container.state() == runtime::v1::CONTAINER_STATE_RUNNING;
    const std::string why =
        no_check ? absl::StrCat(container.name(), " has no healthcheck")
                 : absl::StrCat(container.name(), " exited with ", container.exit_code());
    // Only a dependency that is required holds its dependents back for good.
    if (dependency.required()) BlockBy(step, Block::kFailed, absl::StrCat(waiting, ": ", why));
  }

  // What a dependent of a service with steps of its own waits for.
  Block WorstBlockOf(const std::string& service) const {
    Block worst = Block::kOrder;
    for (const Step& step : plan_.steps) {
      if (step.subject != service) continue;
      if (step.block == Block::kFailed) return Block::kFailed;
      if (step.block == Block::kCondition) worst = Block::kCondition;
    }
    return worst;
  }

  std::string RestartReason(const v1::ServiceSpec& service, const Container& container,
                            const ServiceRecord& record) const {
    const absl::Time started = FromProto(container.start_time());
    if (started < record.restart_time) return "asked for";
    if (!IsAlive(container)) return "";
    const v1::ServiceSpec* peer = NetworkPeer(service);
    if (peer == nullptr) return "";
    const auto found = by_slot_.find({peer->name(), 1});
    if (found == by_slot_.end() || !IsAlive(*found->second[0])) return "";
    // A network lives as long as the container that it was made for runs; a restart by policy keeps
    // it.
    const Container& owner = *found->second[0];
    if (owner.restart_count() == 0 && started < FromProto(owner.start_time())) {
      return absl::StrCat("the network of ", peer->name(), " is a new one");
    }
    return "";
  }

  // --- what is not wanted
  // -----------------------------------------------------------------------------------------

  void PlanOrphans() {
    for (const auto& [slot, containers] : by_slot_) {
      if (in_.desired.FindService(slot.first) != nullptr) continue;
      for (const Container* container : containers) {
        plan_.orphans.push_back(container->name());
        if (!in_.desired.remove_orphans) continue;
        AddFor(Action::DELETE_CONTAINER, slot, *container,
               absl::StrCat("service ", slot.first, " is not in the stack any more"));
      }
    }
  }

  // Dependents first; then networks; then volumes.
  void PlanRemoval() {
    std::set<std::string> alive;
    for (const auto& [slot, containers] : by_slot_) alive.insert(slot.first);
    std::vector<std::string> services;
    if (const auto order = DependencyOrder(stack_); order.ok()) {
      for (const v1::ServiceSpec* service : *order)
        services.insert(services.begin(), service->name());
    }
    for (const std::string& name : alive) {
      if (in_.desired.FindService(name) == nullptr) services.insert(services.begin(), name);
    }
    for (const std::string& name : services) {
      std::vector<std::string> dependents;
      for (const v1::ServiceSpec& other : stack_.services()) {
        for (const v1::Dependency& dependency : other.depends_on()) {
          if (dependency.service() == name && alive.contains(other.name()))
            dependents.push_back(other.name());
        }
      }
      for (const auto& [slot, containers] : by_slot_) {
        if (slot.first != name) continue;
        for (const Container* container : containers) {
          Step& step =
              AddFor(Action::DELETE_CONTAINER, slot, *container, "the stack is taken down");
          if (dependents.empty()) continue;
          BlockBy(step, Block::kOrder,
                  absl::StrCat(absl::StrJoin(dependents, ", "), " goes first"));
        }
      }
    }
    RemoveNetworks();
    if (in_.desired.delete_volumes) RemoveVolumes();
    plan_.gone = plan_.steps.empty() && in_.runtime_missing.empty() && in_.observed.synced;
  }

  // Those that carry the stack's label: what the stack made, whatever its specification says by
  // now.
  template <typename Resources>
  std::vector<std::string> Ours(const Resources& resources) const {
    std::vector<std::string> names;
    for (const auto& [name, resource] : resources) {
      const auto label = resource.labels().find(kStackLabel);
      if (label != resource.labels().end() && label->second == stack_.name()) names.push_back(name);
    }
    return names;
  }

  void RemoveNetworks() {
    for (const std::string& name : Ours(in_.observed.networks)) {
      Step& step = Add(Action::DELETE_NETWORK, name, name, "the stack is taken down",
                       absl::StrCat("network ", name));
      if (!by_slot_.empty()) BlockBy(step, Block::kOrder, "its containers go first");
    }
  }

  void RemoveVolumes() {
    for (const std::string& name : Ours(in_.observed.volumes)) {
      Step& step =
          Add(Action::DELETE_VOLUME, name, name, "asked for", absl::StrCat("volume ", name));
      if (!by_slot_.empty()) BlockBy(step, Block::kOrder, "its containers go first");
    }
  }

  const PlanInput& in_;
  const v1::StackSpec& stack_;
  Plan plan_;
  std::map<Slot, std::vector<const Container*>> by_slot_;
  // Containers that go because of their network.
  std::set<std::string> going_;
  // Name -> why what uses it must wait.
  std::map<std::string, std::string> blocked_networks_;
  std::map<std::string, std::string> blocked_volumes_;
  // Services that have steps in this plan.
  std::set<std::string> busy_;
};

}  // namespace

v1::PlanStep Step::ToProto() const {
  v1::PlanStep proto;
  proto.set_action(action);
  proto.set_subject(subject);
  proto.set_name(name);
  proto.set_reason(reason);
  return proto;
}

Plan MakePlan(const PlanInput& input) { return Planner(input).Make(); }

}  // namespace darse::scheduler
