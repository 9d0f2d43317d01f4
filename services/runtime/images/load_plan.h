// Which images an unpacked archive holds, and which of its layers they need. Pure, but for reading
// the small members.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "services/runtime/images/image_engine.h"
#include "services/runtime/unpack/unpack_report.h"

namespace darse::runtime {

struct LoadPlan {
  std::vector<NewImage> images;
  // Members that are needed, each diff id once.
  std::vector<UnpackedLayer> layers;
};

// `read_blob` answers the content of member number n. INVALID_ARGUMENT (BAD_ARCHIVE) for an archive
// that is none, lacks something, or whose digests are not true. Of an index with several platforms
// the one of this machine is taken.
absl::StatusOr<LoadPlan> PlanLoad(
    const UnpackReport& report,
    absl::FunctionRef<absl::StatusOr<std::string>(int number)> read_blob);

}  // namespace darse::runtime
