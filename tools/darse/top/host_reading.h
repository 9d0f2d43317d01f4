// This host's figures from /proc, for the time without the metrics service.
#pragma once

#include "darse/metrics/v1/metrics_service.pb.h"

namespace darse::client {

// Counters that rates are made from.
struct HostCounters {
  int64_t cpu_busy = 0;
  int64_t cpu_total = 0;
  int64_t network_receive_bytes = 0;
  int64_t network_transmit_bytes = 0;
  double seconds = 0;
};

HostCounters ReadHostCounters();
// Memory, load and uptime as they are; processor and network as rates between the two.
darse::metrics::v1::HostSample HostBetween(const HostCounters& before, const HostCounters& after);

}  // namespace darse::client
