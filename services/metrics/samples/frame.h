// A frame: all containers and the host at one moment, with rates made of two readings. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "darse/metrics/v1/metrics_service.pb.h"
#include "services/metrics/containers/known_container.h"
#include "services/metrics/samples/counters.h"

namespace darse::metrics {

struct ContainerReading {
  KnownContainer container;
  ContainerCounters counters;
};

struct Reading {
  // What the clock says.
  absl::Time time;
  // For rates: a clock that nobody sets.
  absl::Duration monotonic;
  HostCounters host;
  std::vector<ContainerReading> containers;
};

struct SampledFrame {
  v1::Frame frame;
  // The totals behind it, in the same order as frame.containers.
  Reading reading;
  // Has a reading before it, so that its rates mean something; in the same order.
  std::vector<bool> has_rates;
  bool host_has_rates = false;
};

// `before` may be empty. A counter that went down (a container started anew) has a rate of 0.
SampledFrame MakeFrame(const Reading& before, Reading now);

void SetRuntimeMissing(SampledFrame& frame, absl::Time since);

}  // namespace darse::metrics
