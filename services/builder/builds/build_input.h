// A build's spec, read and checked: what is to be done, before any of it is.
#pragma once

#include "absl/status/statusor.h"
#include "darse/builder/v1/build_service.pb.h"
#include "libs/dockerfile/build_plan.h"
#include "libs/dockerfile/step.h"
#include "services/builder/contexts/context_engine.h"

namespace darse::builder {

struct BuildInput {
  dockerfile::BuildPlan plan;
  dockerfile::StepScope scope;
  // SOURCE_DATE_EPOCH as a build argument counts where the spec has none.
  int64_t source_date_epoch = 0;
};

// INVALID_ARGUMENT (with reason BAD_DOCKERFILE where it is the Dockerfile); NOT_FOUND for a missing
// context, Dockerfile or target.
absl::StatusOr<BuildInput> ReadInput(const v1::BuildSpec& spec, ContextEngine& contexts,
                                     const dockerfile::Platform& platform);

}  // namespace darse::builder
