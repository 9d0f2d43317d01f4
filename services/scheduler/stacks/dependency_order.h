// Services in the order in which they start.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "darse/scheduler/v1/stack.pb.h"

namespace darse::scheduler {

// Dependencies before dependents, otherwise as in the spec. INVALID_ARGUMENT names the circle or
// the dependency that is not there though it is required.
absl::StatusOr<std::vector<const v1::ServiceSpec*>> DependencyOrder(const v1::StackSpec& spec);

// INVALID_ARGUMENT for a spec that contradicts itself: names, circles, unknown networks or volumes,
// doubled entries.
absl::Status ValidateStack(const v1::StackSpec& spec);

}  // namespace darse::scheduler
