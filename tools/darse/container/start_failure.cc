#include "tools/darse/container/start_failure.h"

#include "libs/base/reason.h"

namespace darse::client {

int ReportStartFailure(Session& session, const absl::Status& error) {
  const int code = session.Report(error);
  if (code != kFailed) return code;
  const std::string reason = Reason(error);
  if (reason == "COMMAND_NOT_FOUND") return kCommandNotFound;
  if (reason == "COMMAND_NOT_EXECUTABLE") return kCommandNotExecutable;
  return kCannotStart;
}

}  // namespace darse::client
