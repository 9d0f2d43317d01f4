#include "services/builder/steps/stage_engine.h"

#include <algorithm>
#include <thread>
#include <variant>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/dockerfile/ast.h"
#include "libs/dockerfile/text.h"

namespace darse::builder {
namespace {

constexpr int kMaxParallel = 2;

bool TouchesFiles(const dockerfile::Instruction& instruction) {
  return std::holds_alternative<dockerfile::Run>(instruction.value) ||
         std::holds_alternative<dockerfile::Copy>(instruction.value) ||
         std::holds_alternative<dockerfile::Workdir>(instruction.value);
}

}  // namespace

int CountSteps(const dockerfile::PlannedStage& stage) {
  int count = 1;
  for (const dockerfile::PlannedInstruction& planned : stage.instructions) {
    count += TouchesFiles(planned.instruction);
  }
  return count;
}

StageEngine::StageEngine(const dockerfile::BuildPlan& plan, dockerfile::StepScope scope,
                         BuildSession& session, StepEngine& steps)
    : plan_(plan), scope_(std::move(scope)), session_(session), steps_(steps) {
  int number = 1;
  for (const dockerfile::PlannedStage& stage : plan.stages) {
    first_number_.push_back(number);
    number += CountSteps(stage);
  }
  begun_.resize(plan.stages.size());
  done_.resize(plan.stages.size());
  next_extra_number_ = number;
  session_.journal().BeginSteps(number - 1);
}

std::optional<int> StageEngine::NextReady() const {
  for (size_t i = 0; i < begun_.size(); ++i) {
    if (begun_[i]) continue;
    const std::vector<int>& needs = plan_.stages[i].depends_on;
    bool ready =
        std::all_of(needs.begin(), needs.end(), [&](int need) { return done_[need].has_value(); });
    if (ready) return static_cast<int>(i);
  }
  return std::nullopt;
}

bool StageEngine::CanGoOn() const {
  bool all_begun = std::all_of(begun_.begin(), begun_.end(), [](bool begun) { return begun; });
  return !error_.ok() || all_begun || NextReady().has_value();
}

void StageEngine::Work() {
  while (true) {
    int index = 0;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &StageEngine::CanGoOn));
      std::optional<int> ready = NextReady();
      if (!error_.ok() || !ready) return;
      index = *ready;
      begun_[index] = true;
    }
    absl::StatusOr<StageResult> result = RunStage(index);
    absl::MutexLock lock(&mu_);
    if (result.ok()) {
      done_[index] = *std::move(result);
      continue;
    }
    if (error_.ok()) error_ = result.status();
    // What others do for this build is no longer of use.
    session_.cancellation().Cancel();
    return;
  }
}

absl::StatusOr<StageResult> StageEngine::Run() {
  std::vector<std::thread> helpers;
  int count = std::min<int>(kMaxParallel, static_cast<int>(plan_.stages.size()));
  for (int i = 1; i < count; ++i) helpers.emplace_back([this] { Work(); });
  Work();
  for (std::thread& helper : helpers) helper.join();
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(error_);
  return *done_.back();
}

absl::StatusOr<StageResult> StageEngine::RunStage(int index) {
  const dockerfile::PlannedStage& stage = plan_.stages[index];
  Numbering numbering{.next = first_number_[index], .count = CountSteps(stage)};
  if (plan_.stages.size() > 1) numbering.stage_title = stage.name + " ";
  ASSIGN_OR_RETURN(StageResult result, BeginStage(stage, numbering));
  RETURN_IF_ERROR(RunTriggers(numbering, result, stage));
  for (const dockerfile::PlannedInstruction& planned : stage.instructions) {
    RETURN_IF_ERROR(RunInstruction(planned, numbering, result));
  }
  return result;
}

absl::StatusOr<StageResult> StageEngine::BeginStage(const dockerfile::PlannedStage& stage,
                                                    Numbering& numbering) {
  StageResult result;
  switch (stage.base.kind) {
    case dockerfile::Origin::kScratch:
      result.state.config.env = {
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
      break;
    case dockerfile::Origin::kStage: {
      absl::MutexLock lock(&mu_);
      result = *done_[stage.base.stage];
      result.state = dockerfile::BeginStage(result.state);
      break;
    }
    case dockerfile::Origin::kImage: {
      ASSIGN_OR_RETURN(BaseImage image, FindImage(stage.place, "FROM", stage.base.image));
      result.base_config_json = image.config_json;
      result.chain_id = image.chain_id;
      absl::StatusOr<dockerfile::ContainerConfig> config = ReadContainerConfig(image.config_json);
      if (!config.ok()) return dockerfile::ErrorAt(stage.place, "FROM", config.status().message());
      result.state.config = *std::move(config);
      break;
    }
  }
  StepSite site = NextSite(numbering, dockerfile::StepName(stage.original), result);
  session_.journal().StepCached(site.number, site.title);
  return result;
}

absl::StatusOr<BaseImage> StageEngine::FindImage(const dockerfile::Place& place,
                                                 absl::string_view keyword,
                                                 const std::string& reference) {
  {
    absl::MutexLock lock(&mu_);
    auto known = images_.find(reference);
    if (known != images_.end()) return known->second;
  }
  BaseImage image;
  absl::Status found = session_.WhileAway([&]() -> absl::Status {
    ASSIGN_OR_RETURN(image, session_.runtime().GetImage(reference));
    return session_.UseImage(image.id);
  });
  if (absl::IsNotFound(found)) {
    // Not NOT_FOUND: that means a layer which was there has gone.
    return dockerfile::ErrorAt(
        place, keyword,
        absl::StrCat("no image \"", reference, "\" here: pull, load or bootstrap it first"));
  }
  if (!found.ok()) {
    return Annotate(found, absl::StrCat(dockerfile::Describe(place), ": ", keyword));
  }
  absl::MutexLock lock(&mu_);
  images_[reference] = image;
  return image;
}

absl::Status StageEngine::RunTriggers(Numbering& numbering, StageResult& result,
                                      const dockerfile::PlannedStage& stage) {
  std::vector<std::string> triggers = std::exchange(result.state.config.on_build, {});
  for (const std::string& trigger : triggers) {
    dockerfile::LogicalLine line{.place = stage.place, .text = trigger};
    ASSIGN_OR_RETURN(dockerfile::Node node, dockerfile::ParseNode(line, '\\'));
    ASSIGN_OR_RETURN(dockerfile::Instruction instruction, dockerfile::ParseInstruction(node, '\\'));
    const auto* copy = std::get_if<dockerfile::Copy>(&instruction.value);
    if (copy != nullptr && !copy->from.empty()) {
      return dockerfile::ErrorAt(stage.place, "ONBUILD",
                                 "COPY --from in a base image is not supported");
    }
    Numbering extra = numbering;
    if (TouchesFiles(instruction)) {
      absl::MutexLock lock(&mu_);
      extra.next = next_extra_number_++;
    }
    RETURN_IF_ERROR(RunInstruction({.instruction = instruction}, extra, result));
  }
  return absl::OkStatus();
}

StepSite StageEngine::NextSite(Numbering& numbering, absl::string_view name,
                               const StageResult& result) {
  ++numbering.place;
  return {.number = numbering.next++,
          .title = absl::StrCat("[", numbering.stage_title, numbering.place, "/", numbering.count,
                                "] ", name),
          .parent_chain_id = result.chain_id};
}

absl::Status StageEngine::RunInstruction(const dockerfile::PlannedInstruction& planned,
                                         Numbering& numbering, StageResult& result) {
  const dockerfile::Instruction& instruction = planned.instruction;
  ASSIGN_OR_RETURN(dockerfile::Step step, dockerfile::Apply(instruction, scope_, result.state));
  StepOutcome outcome{.chain_id = result.chain_id};
  if (TouchesFiles(instruction)) {
    StepSite site = NextSite(numbering, step.name, result);
    if (!planned.from) {
      ASSIGN_OR_RETURN(outcome, steps_.Run(site, step));
    } else {
      std::string source;
      if (planned.from->kind == dockerfile::Origin::kStage) {
        absl::MutexLock lock(&mu_);
        source = done_[planned.from->stage]->chain_id;
      } else if (planned.from->kind == dockerfile::Origin::kImage) {
        ASSIGN_OR_RETURN(BaseImage image,
                         FindImage(instruction.place, instruction.keyword, planned.from->image));
        source = image.chain_id;
      }
      ASSIGN_OR_RETURN(outcome, steps_.CopyFrom(site, step, source));
    }
  }
  // An ARG leaves no trace in the image.
  if (instruction.keyword == "ARG") return absl::OkStatus();
  result.chain_id = outcome.chain_id;
  if (!outcome.diff_id.empty()) result.diff_ids.push_back(outcome.diff_id);
  result.history.push_back({.created_by = step.name, .empty_layer = outcome.diff_id.empty()});
  return absl::OkStatus();
}

}  // namespace darse::builder
