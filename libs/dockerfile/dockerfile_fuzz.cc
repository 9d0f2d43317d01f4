// Any bytes must be read, planned and applied, or refused, without a crash.
#include <cstddef>
#include <cstdint>

#include "libs/dockerfile/build_plan.h"
#include "libs/dockerfile/dockerfile.h"
#include "libs/dockerfile/step.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace darse::dockerfile;
  absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  absl::StatusOr<Dockerfile> dockerfile = ParseDockerfile(text, "fuzz");
  if (!dockerfile.ok()) return 0;
  PlanOptions options{.build_args = {{"A", "b"}}, .platform = {.architecture = "amd64"}};
  absl::StatusOr<BuildPlan> plan = PlanBuild(*dockerfile, options);
  if (!plan.ok()) return 0;
  StepScope scope{.escape = plan->escape, .global_args = plan->global_args};
  for (const PlannedStage& stage : plan->stages) {
    StageState state;
    for (const PlannedInstruction& planned : stage.instructions) {
      if (!Apply(planned.instruction, scope, state).ok()) return 0;
    }
  }
  return 0;
}
