// Puts the runtime together: stores, engines, their gRPC adaptors, in the order in which they need
// each other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/settings/settings.h"

namespace darse::runtime {

class RuntimeServer {
 public:
  // Recovers what a predecessor left, then serves. UNAVAILABLE if another runtime has this root or
  // socket.
  static absl::StatusOr<std::unique_ptr<RuntimeServer>> Start(const Settings& settings,
                                                              Clock& clock);
  virtual ~RuntimeServer() = default;

  // Takes no new calls and lets running ones end. Containers go on.
  virtual void Stop(absl::Duration grace) = 0;
};

}  // namespace darse::runtime
