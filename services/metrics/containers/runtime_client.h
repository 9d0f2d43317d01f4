// What this service asks of the runtime: its containers and its events.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/metrics/containers/known_container.h"
#include "services/metrics/containers/mark.h"

namespace darse::metrics {

// Thread-safe. A second implementation is the fake in the tests.
class RuntimeClient {
 public:
  virtual ~RuntimeClient() = default;

  virtual absl::StatusOr<std::vector<KnownContainer>> ListContainers() = 0;
  // Sequence of the newest event.
  virtual absl::StatusOr<int64_t> NewestEvent() = 0;
  // Hands batches of container events after `after_sequence` to `handle` as they come, until it
  // answers an error, the runtime goes away, or Cancel(). OUT_OF_RANGE when the log does not go
  // back that far.
  virtual absl::Status WatchEvents(
      int64_t after_sequence,
      const std::function<absl::Status(const std::vector<RuntimeEvent>&)>& handle) = 0;
  // Ends a running WatchEvents and all later ones.
  virtual void Cancel() = 0;
  // False at the deadline.
  virtual bool WaitUntilPresent(absl::Time deadline) = 0;
};

}  // namespace darse::metrics
