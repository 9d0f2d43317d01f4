// The OCI image config of what a build made: the base's, with what the Dockerfile changed. Pure;
// the same bytes for the same input.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/dockerfile/step.h"

namespace darse::builder {

struct HistoryLine {
  std::string created_by;
  bool empty_layer = false;
};

struct ImageParts {
  // Config of the image at the bottom; empty for FROM scratch.
  std::string base_config_json;
  dockerfile::ContainerConfig config;
  // Layers and history over the base's.
  std::vector<std::string> diff_ids;
  std::vector<HistoryLine> history;
  dockerfile::Platform platform;
  absl::Time created;
};

// What a base image says about its containers. INVALID_ARGUMENT for a config that is none.
absl::StatusOr<dockerfile::ContainerConfig> ReadContainerConfig(absl::string_view config_json);

absl::StatusOr<std::string> MakeImageConfigJson(const ImageParts& parts);

}  // namespace darse::builder
