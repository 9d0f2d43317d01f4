// The processes of one container, for `top CONTAINER`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "tools/darse/session/session.h"

namespace darse::client {

absl::StatusOr<int> ShowProcesses(Session& session, const std::string& container,
                                  const std::string& format);

}  // namespace darse::client
