// The metrics that have a history: their names (fields of the samples in the proto), their numbers
// in chunks, and the unit that they are rounded to there.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "darse/metrics/v1/metrics_service.pb.h"

namespace darse::metrics {

struct Metric {
  // Never given to another metric: chunks on disk have it.
  int number;
  absl::string_view name;
  double unit;
};

// Nullptr if there is none.
const Metric* FindMetric(absl::string_view name);
const Metric* FindMetric(int number);

using MetricValues = std::vector<std::pair<const Metric*, double>>;

// What a sample says; a pressure that the kernel does not have is left out.
MetricValues ValuesOf(const v1::ContainerSample& sample);
MetricValues ValuesOf(const v1::HostSample& sample);

}  // namespace darse::metrics
