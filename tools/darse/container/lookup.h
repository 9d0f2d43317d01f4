// Containers and images from the runtime, all pages of them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "darse/runtime/v1/container_service.pb.h"
#include "darse/runtime/v1/image.pb.h"
#include "tools/darse/session/session.h"

namespace darse::client {

absl::StatusOr<std::vector<darse::runtime::v1::Container>> ListContainers(
    Session& session, darse::runtime::v1::ListContainersRequest request = {});
absl::StatusOr<std::vector<darse::runtime::v1::Image>> ListImages(Session& session);
// Of one stack, by label.
absl::StatusOr<std::vector<darse::runtime::v1::Container>> ContainersOfStack(
    Session& session, absl::string_view stack);

}  // namespace darse::client
