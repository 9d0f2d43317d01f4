// -v, --mount and --tmpfs.
//
//   -v [SOURCE:]TARGET[:ro,nocopy,rslave…]      SOURCE with a slash is a path on the host, else a
//   volume
//   --mount type=bind|volume|tmpfs,source=…,target=…[,readonly][,…]
//   --tmpfs TARGET[:size=64m,mode=1777]
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container.pb.h"
#include "tools/darse/options/surroundings.h"

namespace darse::client {

absl::StatusOr<darse::runtime::v1::Mount> ParseVolumeOption(absl::string_view text,
                                                            Surroundings& around);
absl::StatusOr<darse::runtime::v1::Mount> ParseMountOption(absl::string_view text,
                                                           Surroundings& around);
absl::StatusOr<darse::runtime::v1::Mount> ParseTmpfsOption(absl::string_view text);

}  // namespace darse::client
