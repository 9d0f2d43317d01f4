// Does all stages that a build needs, each as soon as those it waits for are done, two at a time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "libs/dockerfile/build_plan.h"
#include "libs/dockerfile/step.h"
#include "services/builder/steps/build_session.h"
#include "services/builder/steps/image_config.h"
#include "services/builder/steps/step_engine.h"

namespace darse::builder {

// What came of a stage.
struct StageResult {
  dockerfile::StageState state;
  std::string base_config_json;
  std::string chain_id;
  // Over the base image.
  std::vector<std::string> diff_ids;
  std::vector<HistoryLine> history;
};

// One use.
class StageEngine {
 public:
  StageEngine(const dockerfile::BuildPlan& plan, dockerfile::StepScope scope, BuildSession& session,
              StepEngine& steps);

  // The target's result, or the first error; then the build's cancellation has been used to stop
  // the rest.
  absl::StatusOr<StageResult> Run();

 private:
  // Numbers and titles of a stage's steps.
  struct Numbering {
    std::string stage_title;
    int next = 0;
    int place = 0;
    int count = 0;
  };

  void Work();
  std::optional<int> NextReady() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool CanGoOn() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<StageResult> RunStage(int index);
  absl::StatusOr<StageResult> BeginStage(const dockerfile::PlannedStage& stage,
                                         Numbering& numbering);
  absl::StatusOr<BaseImage> FindImage(const dockerfile::Place& place, absl::string_view keyword,
                                      const std::string& reference);
  absl::Status RunTriggers(Numbering& numbering, StageResult& result,
                           const dockerfile::PlannedStage& stage);
  absl::Status RunInstruction(const dockerfile::PlannedInstruction& planned, Numbering& numbering,
                              StageResult& result);
  StepSite NextSite(Numbering& numbering, absl::string_view name, const StageResult& result);

  const dockerfile::BuildPlan& plan_;
  const dockerfile::StepScope scope_;
  BuildSession& session_;
  StepEngine& steps_;
  // Of the first step, by stage.
  std::vector<int> first_number_;
  absl::Mutex mu_;
  std::vector<bool> begun_ ABSL_GUARDED_BY(mu_);
  std::vector<std::optional<StageResult>> done_ ABSL_GUARDED_BY(mu_);
  absl::Status error_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, BaseImage> images_ ABSL_GUARDED_BY(mu_);
  // For steps that a base image's ONBUILD adds.
  int next_extra_number_ ABSL_GUARDED_BY(mu_) = 0;
};

// Steps of a stage: FROM and all that touch files.
int CountSteps(const dockerfile::PlannedStage& stage);

}  // namespace darse::builder
