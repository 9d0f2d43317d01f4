// Logs of one or several containers to standard output and error.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "darse/runtime/v1/container_service.pb.h"
#include "tools/darse/container/log_lines.h"
#include "tools/darse/session/session.h"

namespace darse::client {

struct LogSource {
  // Id or name.
  std::string container;
  LogFormat format;
};

// Reads with `request` (its `container` is set for each source). One source after the other, by
// time where they do not follow; at once where they do. Ctrl-C ends it with 130.
absl::StatusOr<int> ShowLogs(Session& session, const std::vector<LogSource>& sources,
                             const darse::runtime::v1::ReadLogsRequest& request);

}  // namespace darse::client
