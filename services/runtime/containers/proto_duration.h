// Durations as specs have them.
#pragma once

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace darse::runtime {

inline absl::Duration ToDuration(const google::protobuf::Duration& proto) {
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

}  // namespace darse::runtime
