// The flags of run and create, and what they ask the runtime for. Pure but for Surroundings.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "darse/runtime/v1/container.pb.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/options/surroundings.h"

namespace darse::client {

// In the order in which help shows them.
const std::vector<Flag>& ContainerSpecFlags();

// INVALID_ARGUMENT names the flag and what is wrong with it. `arguments` are those of a verb that
// has ContainerSpecFlags(); its first positional is the image, the rest the command.
absl::StatusOr<darse::runtime::v1::ContainerSpec> ReadContainerSpec(const Arguments& arguments,
                                                                    Surroundings& around);

// Those of `update`: limits and restart policy only.
const std::vector<Flag>& LimitFlags();
absl::StatusOr<darse::runtime::v1::Resources> ReadResources(const Arguments& arguments);
// Whether any flag of a restart policy is there.
bool AsksForRestarts(const Arguments& arguments);
absl::StatusOr<darse::runtime::v1::RestartPolicy> ReadRestartPolicy(const Arguments& arguments);

}  // namespace darse::client
