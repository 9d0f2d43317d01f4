// A container as `docker inspect` prints it. Pure.
#pragma once

#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container.pb.h"
#include "tools/darse/output/json.h"

namespace darse::client {

// `oci_config_json` is what it was last started with; may be empty.
Json InspectContainer(const darse::runtime::v1::Container& container,
                      absl::string_view oci_config_json);

}  // namespace darse::client
