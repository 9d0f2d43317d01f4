#include "services/scheduler/stacks/stack_engine.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "services/scheduler/stacks/container_config.h"
#include "services/scheduler/stacks/dependency_order.h"

namespace darse::scheduler {
namespace {

// An upload for a stack that is about to be applied must not be taken away.
constexpr absl::Duration kContextGrace = absl::Hours(1);

bool SameSpec(const v1::StackSpec& a, const v1::StackSpec& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

v1::Stack Shown(const DesiredStack& desired, const BoardEntry& entry, const Observed& seen) {
  v1::Stack stack;
  *stack.mutable_spec() = desired.spec;
  stack.set_revision(desired.revision);
  stack.set_state(desired.removing ? v1::STACK_STATE_REMOVING : entry.standing.state);
  stack.set_message(entry.standing.message);
  *stack.mutable_create_time() = ToProto(desired.create_time);
  *stack.mutable_update_time() = ToProto(desired.update_time);
  for (const TaskPlan& planned : entry.plan.tasks) {
    v1::Task& task = *stack.add_tasks();
    task.set_id(TaskId(desired.spec.name(), planned.slot));
    task.set_service(planned.slot.first);
    task.set_slot(planned.slot.second);
    task.set_container_id(planned.container_id);
    if (const v1::ServiceSpec* service = desired.FindService(planned.slot.first)) {
      task.set_container_name(ContainerName(desired.spec, *service, planned.slot.second));
    }
    task.set_state(planned.view.state);
    if (!planned.waiting.empty() && planned.view.state != v1::TASK_STATE_RUNNING) {
      task.set_state(v1::TASK_STATE_WAITING);
    }
    task.set_message(planned.waiting.empty() ? planned.view.reason : planned.waiting);
    const auto found = seen.containers.find(planned.container_id);
    if (found == seen.containers.end()) continue;
    *task.mutable_container() = *found->second.container;
    *task.mutable_observe_time() = ToProto(found->second.observe_time);
    if (found->second.container->state() == runtime::v1::CONTAINER_STATE_RUNNING &&
        found->second.container->health().status() == runtime::v1::Health::STARTING) {
      task.set_state(v1::TASK_STATE_STARTING);
    }
  }
  return stack;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SelectedServices(const v1::ApplyStackRequest& request) {
  std::vector<std::string> queue(request.services().begin(), request.services().end());
  std::vector<std::string> selected;
  if (queue.empty()) {
    for (const v1::ServiceSpec& service : request.spec().services())
      selected.push_back(service.name());
    return selected;
  }
  while (!queue.empty()) {
    const std::string name = queue.back();
    queue.pop_back();
    if (std::find(selected.begin(), selected.end(), name) != selected.end()) continue;
    const auto& services = request.spec().services();
    const auto service =
        std::find_if(services.begin(), services.end(),
                     [&](const v1::ServiceSpec& one) { return one.name() == name; });
    if (service == services.end()) {
      return absl::InvalidArgumentError(absl::StrCat("service ", name, " is not in the stack"));
    }
    selected.push_back(name);
    if (request.no_dependencies()) continue;
    for (const v1::Dependency& dependency : service->depends_on()) {
      const bool is_there = std::any_of(
          services.begin(), services.end(),
          [&](const v1::ServiceSpec& one) { return one.name() == dependency.service(); });
      if (is_there) queue.push_back(dependency.service());
    }
  }
  return selected;
}

v1::StackSpec MergeSpec(const v1::StackSpec& before, const v1::StackSpec& request,
                        const std::vector<std::string>& selected) {
  const std::set<std::string> chosen(selected.begin(), selected.end());
  if (static_cast<int>(chosen.size()) == request.services_size()) return request;
  v1::StackSpec merged = request;
  merged.clear_services();
  std::set<std::string> present;
  for (const v1::ServiceSpec& service : request.services()) {
    if (chosen.contains(service.name())) present.insert(service.name());
  }
  for (const v1::ServiceSpec& service : before.services()) present.insert(service.name());
  const auto add = [&](v1::ServiceSpec service) {
    // A service that was not chosen is not there to be waited for.
    for (v1::Dependency& dependency : *service.mutable_depends_on()) {
      if (!present.contains(dependency.service())) dependency.set_required(false);
    }
    *merged.add_services() = std::move(service);
  };
  for (const v1::ServiceSpec& service : before.services()) {
    if (!chosen.contains(service.name())) add(service);
  }
  for (const v1::ServiceSpec& service : request.services()) {
    if (chosen.contains(service.name())) add(service);
  }
  const auto keep = [](auto* merged_parts, const auto& parts) {
    for (const auto& part : parts) {
      const bool known =
          std::any_of(merged_parts->begin(), merged_parts->end(),
                      [&](const auto& other) { return other.name() == part.name(); });
      if (!known) *merged_parts->Add() = part;
    }
  };
  keep(merged.mutable_networks(), before.networks());
  keep(merged.mutable_volumes(), before.volumes());
  return merged;
}

absl::StatusOr<DesiredStack> Wanted(const v1::ApplyStackRequest& request,
                                    const DesiredStack* before, const Pins& pins, absl::Time now) {
  RETURN_IF_ERROR(ValidateStack(request.spec()));
  ASSIGN_OR_RETURN(std::vector<std::string> selected, SelectedServices(request));
  DesiredStack wanted;
  if (before != nullptr) wanted = *before;
  if (before == nullptr) wanted.create_time = now;
  const bool starts_anew = before == nullptr || before->removing;
  wanted.spec = MergeSpec(starts_anew ? v1::StackSpec() : before->spec, request.spec(), selected);
  RETURN_IF_ERROR(ValidateStack(wanted.spec));
  wanted.removing = false;
  wanted.delete_volumes = false;
  wanted.stop_timeout.reset();
  wanted.remove_orphans = request.remove_orphans();
  for (const std::string& name : selected) {
    ServiceRecord& record = wanted.services[name];
    const v1::ServiceSpec* service = wanted.FindService(name);
    record.up_time = now;
    if (request.force_recreate()) record.recreate_time = now;
    if (service->has_build()) {
      if (request.rebuild()) ++record.rebuild;
      record.image_id.clear();
      // A build that failed is tried again.
      if (!record.build_error.empty()) {
        record.build_error.clear();
        record.build_id.clear();
      }
      continue;
    }
    // While the runtime is away, what the reference meant before counts, as long as it is the same
    // reference.
    const v1::ServiceSpec* old = before == nullptr ? nullptr : before->FindService(name);
    const bool same_reference =
        old != nullptr && old->container().image() == service->container().image();
    const auto pin = pins.find(name);
    if (pin != pins.end()) {
      record.image_id = pin->second;
    } else if (!same_reference) {
      record.image_id.clear();
    }
  }
  std::erase_if(wanted.services,
                [&](const auto& entry) { return wanted.FindService(entry.first) == nullptr; });
  std::erase_if(wanted.tasks, [&](const auto& entry) {
    return wanted.FindService(entry.first.first) == nullptr;
  });
  return wanted;
}

Pins StackEngine::FindPins(const v1::StackSpec& spec) const {
  Pins pins;
  for (const v1::ServiceSpec& service : spec.services()) {
    if (service.has_build()) continue;
    bool missing = false;
    const std::string id = survey_.FindImage(service.container().image(), &missing);
    if (!id.empty() || missing) pins[service.name()] = id;
  }
  return pins;
}

absl::StatusOr<ApplyAnswer> StackEngine::Apply(const v1::ApplyStackRequest& request) {
  const std::string& name = request.spec().name();
  const StackPtr before = book_.Find(name);
  const Pins pins = FindPins(request.spec());
  ASSIGN_OR_RETURN(DesiredStack wanted, Wanted(request, before.get(), pins, clock_.Now()));
  const bool same = before != nullptr && !before->removing && SameSpec(before->spec, wanted.spec) &&
                    !request.force_recreate() && !request.rebuild();
  ApplyAnswer answer;
  if (same) {
    wanted.revision = before->revision;
    const Plan plan = survey_.PlanFor(wanted);
    if (plan.steps.empty()) {
      return ApplyAnswer{.revision = before->revision, .orphans = plan.orphans};
    }
  }
  RETURN_IF_ERROR(
      book_.Create(name, [&](sqlite::Transaction&, DesiredStack& stack) -> absl::Status {
        // Between looking and writing a step may have recorded something: what was asked goes over
        // what was recorded.
        const bool is_new = stack.spec.name().empty();
        ASSIGN_OR_RETURN(wanted, Wanted(request, is_new ? nullptr : &stack, pins, clock_.Now()));
        wanted.revision = stack.revision + (same ? 0 : 1);
        wanted.update_time = clock_.Now();
        stack = wanted;
        return absl::OkStatus();
      }));
  Plan plan = loop_.Look(name, wanted);
  loop_.Forgive(name);
  PruneContexts();
  answer.revision = wanted.revision;
  answer.changed = true;
  answer.orphans = std::move(plan.orphans);
  for (const Step& step : plan.steps) {
    if (step.block == Block::kPeer && answer.waiting.empty()) answer.waiting = step.waiting;
  }
  answer.plan = std::move(plan.steps);
  return answer;
}

absl::StatusOr<std::vector<Step>> StackEngine::PlanOnly(const v1::PlanStackRequest& request) {
  const std::string runtime_missing = survey_.RuntimeMissing();
  if (!runtime_missing.empty() && !cache_.Snapshot().known) {
    return WithReason(absl::UnavailableError(absl::StrCat("waiting for ", runtime_missing,
                                                          ", and nothing is known of it yet")),
                      "PEER_MISSING");
  }
  v1::ApplyStackRequest apply;
  *apply.mutable_spec() = request.spec();
  apply.set_remove_orphans(request.remove_orphans());
  apply.set_force_recreate(request.force_recreate());
  const StackPtr before = book_.Find(request.spec().name());
  ASSIGN_OR_RETURN(DesiredStack wanted,
                   Wanted(apply, before.get(), FindPins(apply.spec()), clock_.Now()));
  return survey_.PlanFor(wanted).steps;
}

absl::StatusOr<v1::Stack> StackEngine::Get(absl::string_view name) const {
  const StackPtr desired = book_.Find(name);
  if (desired == nullptr) return absl::NotFoundError(absl::StrCat("no stack \"", name, "\""));
  return Shown(*desired, board_.Get(std::string(name)), cache_.Snapshot());
}

std::vector<v1::Stack> StackEngine::List(absl::string_view after, size_t most) const {
  std::vector<v1::Stack> stacks;
  const Observed seen = cache_.Snapshot();
  for (const auto& [name, desired] : book_.All()) {
    if (name > after && stacks.size() < most)
      stacks.push_back(Shown(*desired, board_.Get(name), seen));
  }
  return stacks;
}

absl::Status StackEngine::Delete(absl::string_view name, bool delete_volumes,
                                 std::optional<absl::Duration> timeout) {
  if (book_.Find(name) == nullptr) {
    // Containers may be left of a stack whose record was lost.
    const Observed seen = cache_.Snapshot();
    const bool some = std::any_of(
        seen.containers.begin(), seen.containers.end(),
        [&](const auto& entry) { return Label(*entry.second.container, kStackLabel) == name; });
    if (!some) return absl::NotFoundError(absl::StrCat("no stack \"", name, "\""));
  }
  DesiredStack removed;
  RETURN_IF_ERROR(
      book_.Create(name, [&](sqlite::Transaction&, DesiredStack& stack) -> absl::Status {
        if (stack.spec.name().empty()) stack.create_time = clock_.Now();
        stack.spec.set_name(std::string(name));
        stack.removing = true;
        stack.delete_volumes = stack.delete_volumes || delete_volumes;
        stack.stop_timeout = timeout;
        stack.update_time = clock_.Now();
        ++stack.revision;
        removed = stack;
        return absl::OkStatus();
      }));
  loop_.Look(std::string(name), removed);
  loop_.Forgive(std::string(name));
  return absl::OkStatus();
}

absl::Status StackEngine::Restart(absl::string_view name,
                                  const std::vector<std::string>& services) {
  DesiredStack restarted;
  RETURN_IF_ERROR(
      book_.Update(name, [&](sqlite::Transaction&, DesiredStack& stack) -> absl::Status {
        if (stack.removing)
          return absl::FailedPreconditionError(
              absl::StrCat("stack ", name, " is being taken down"));
        std::vector<std::string> chosen = services;
        for (const std::string& service : services) {
          if (stack.FindService(service) == nullptr) {
            return absl::InvalidArgumentError(
                absl::StrCat("service ", service, " is not in stack ", name));
          }
        }
        if (chosen.empty()) {
          for (const v1::ServiceSpec& service : stack.spec.services())
            chosen.push_back(service.name());
        }
        for (const std::string& service : chosen) {
          stack.services[service].restart_time = clock_.Now();
          stack.services[service].up_time = clock_.Now();
        }
        restarted = stack;
        return absl::OkStatus();
      }));
  loop_.Look(std::string(name), restarted);
  loop_.Forgive(std::string(name));
  return absl::OkStatus();
}

std::vector<std::string> StackEngine::WaitingFor(absl::string_view peer) const {
  std::vector<std::string> sentences;
  const std::string wanted = absl::StrCat("waiting for ", peer);
  for (const auto& [stack, entry] : board_.All()) {
    for (const Step& step : entry.plan.steps) {
      if (step.block != Block::kPeer || !absl::StartsWith(step.waiting, wanted)) continue;
      std::string verb = absl::AsciiStrToLower(v1::PlanStep::Action_Name(step.action));
      std::replace(verb.begin(), verb.end(), '_', ' ');
      sentences.push_back(absl::StrCat("stack ", stack, ": ", verb, " ", step.name));
    }
  }
  return sentences;
}

void StackEngine::PruneContexts() const {
  std::set<std::string> wanted;
  for (const auto& [name, stack] : book_.All()) {
    for (const v1::ServiceSpec& service : stack->spec.services())
      wanted.insert(service.build().context_digest());
  }
  const absl::Status pruned = contexts_.Prune(wanted, clock_.Now() - kContextGrace);
  if (!pruned.ok())
    Log(LogLevel::kWarning, "old contexts stay", {{"why", std::string(pruned.message())}});
}

}  // namespace darse::scheduler
