// The machine-readable why of an error: one upper-case word such as "PORT_IN_USE", beside code and
// message. Travels as a payload in a process and as trailing metadata "darse-reason" over gRPC.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace darse {

inline constexpr char kReasonUrl[] = "darse/reason";

// OK stays OK and has no reason.
inline absl::Status WithReason(absl::Status status, absl::string_view reason) {
  if (!status.ok()) status.SetPayload(kReasonUrl, absl::Cord(reason));
  return status;
}

// Empty if there is none.
inline std::string Reason(const absl::Status& status) {
  auto payload = status.GetPayload(kReasonUrl);
  return payload ? std::string(*payload) : std::string();
}

}  // namespace darse
