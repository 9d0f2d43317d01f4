// A mark on a curve, made of an event of the runtime: a start, a stop, an OOM kill, a deploy.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace darse::metrics {

// What is needed of an event.
struct RuntimeEvent {
  int64_t sequence = 0;
  absl::Time time;
  std::string kind, action, id;
  std::map<std::string, std::string> attributes;
};

struct Mark {
  // Of the event.
  int64_t sequence = 0;
  absl::Time time;
  std::string subject, action, text;

  bool operator==(const Mark&) const = default;
};

// "stack/service/slot" from the labels that the scheduler sets, else the name.
std::string SubjectOf(const std::map<std::string, std::string>& labels, absl::string_view name);

// By subject, the configuration of its newest container.
using Deployments = std::map<std::string, std::string>;

// The mark of an event, if it deserves one. A service's container made with another configuration
// than the one before is a deploy; `deployments` is brought up to date.
std::optional<Mark> MarkOf(const RuntimeEvent& event, Deployments& deployments);

}  // namespace darse::metrics
