// A spec and the image it is over become one: what the container will really be started with.
#pragma once

#include "absl/status/statusor.h"
#include "darse/runtime/v1/container.pb.h"
#include "libs/oci/image_config.h"

namespace darse::runtime {

// Docker's rules: an entrypoint in the spec drops the image's command too; variables and labels of
// the spec go over the image's; a VOLUME path of the image without a mount of the spec gets an
// anonymous volume (a mount of type VOLUME without a source); a healthcheck without a test changes
// only the image's times. In the result `command` holds the whole argv, `entrypoint` nothing,
// `working_dir` and `stop_signal` are set, and `healthcheck` is absent unless there is one to run.
// INVALID_ARGUMENT if there is no command at all.
absl::StatusOr<v1::ContainerSpec> MergeImage(const v1::ContainerSpec& asked,
                                             const oci::ImageConfig& image);

}  // namespace darse::runtime
