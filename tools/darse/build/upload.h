// Hands a build context to whoever builds from it: the builder, or the scheduler that passes it on.
// Sent only where it is not there yet.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/darse/build/context.h"
#include "tools/darse/session/progress.h"
#include "tools/darse/session/session.h"

namespace darse::client {

// Answers the digest.
absl::StatusOr<std::string> UploadToBuilder(Session& session, const BuildContext& context,
                                            ProgressLine& progress);
absl::StatusOr<std::string> UploadToScheduler(Session& session, const BuildContext& context,
                                              ProgressLine& progress);

}  // namespace darse::client
