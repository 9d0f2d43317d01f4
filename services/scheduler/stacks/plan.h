// From what is wanted and what is there to the steps in between, each with its reason. Pure: the
// same input gives the same plan, and a plan of what was done already is empty. The converge loop
// takes the steps that nothing blocks, looks again, and asks for the next plan; so a plan needs no
// memory of the one before.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "services/scheduler/observe/observed.h"
#include "services/scheduler/stacks/desired.h"
#include "services/scheduler/stacks/task_state.h"

namespace darse::scheduler {

// Why a step is not taken now.
enum class Block {
  kNone,
  // Another step of this plan comes first.
  kOrder,
  // Something outside the plan must become true by itself: a healthcheck, the end of a job.
  kCondition,
  // A peer is away.
  kPeer,
  // It will not become true without somebody's help.
  kFailed,
};

struct Step {
  v1::PlanStep::Action action = v1::PlanStep::ACTION_UNSPECIFIED;
  // Service, network or volume key.
  std::string subject;
  // Name in the runtime.
  std::string name;
  std::string reason;
  // Steps with the same key are never taken at the same time: "web/1", "network shop_default",
  // "build web".
  std::string key;
  int32_t slot = 0;
  // Of the container that is there.
  std::string container_id;
  Block block = Block::kNone;
  // With a block: "waiting for db to be healthy".
  std::string waiting;

  v1::PlanStep ToProto() const;
};

struct ImageState {
  // Empty: not known, or not there.
  std::string id;
  // Why there is none ("no image nginx:1.25 here"); empty while it is not known.
  std::string missing;
  // For a service with a build whose image is not there.
  bool needs_build = false;
  std::string build_reason;
  // The build failed and is not tried again before the next `up`.
  std::string build_error;
};

struct PlanInput {
  const DesiredStack& desired;
  const Observed& observed;
  // By service.
  const std::map<std::string, ImageState>& images;
  // Empty while the peer is there; otherwise what is waited for: "runtime since 12:01:07".
  std::string runtime_missing;
  std::string builder_missing;
};

struct TaskPlan {
  Slot slot;
  std::string container_id;
  TaskView view;
  // What it waits for.
  std::string waiting;
};

struct Plan {
  std::vector<Step> steps;
  std::vector<TaskPlan> tasks;
  // Names of containers of services that are not in the specification.
  std::vector<std::string> orphans;
  // The stack is to go, and nothing of it is left.
  bool gone = false;
};

Plan MakePlan(const PlanInput& input);

}  // namespace darse::scheduler
