// The newest frame in Prometheus' text format 0.0.4.
#pragma once

#include <string>

#include "services/metrics/samples/frame.h"

namespace darse::metrics {

std::string FormatPrometheus(const SampledFrame& frame);

}  // namespace darse::metrics
