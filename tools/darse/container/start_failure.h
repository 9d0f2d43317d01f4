// Exit codes of what could not be started, as docker has them.
#pragma once

#include "absl/status/status.h"
#include "tools/darse/session/session.h"

namespace darse::client {

inline constexpr int kCannotStart = 125;
inline constexpr int kCommandNotExecutable = 126;
inline constexpr int kCommandNotFound = 127;

// Prints the error; 127, 126, 75 for a missing service, else 125.
int ReportStartFailure(Session& session, const absl::Status& error);

}  // namespace darse::client
