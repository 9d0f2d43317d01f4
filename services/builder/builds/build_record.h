// A build as the builder keeps it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "darse/builder/v1/build_service.pb.h"
#include "services/builder/builds/lifecycle.h"

namespace darse::builder {

struct BuildRecord {
  // Grows with each build; orders the queue and lists.
  int64_t number = 0;
  std::string id;
  v1::BuildSpec spec;
  BuildState state = BuildState::kQueued;
  absl::Time created_at;
  std::optional<absl::Time> started_at;
  std::optional<absl::Time> finished_at;
  std::string image_id;
  std::string error;
  int failed_exit_code = 0;
  int steps_total = 0;
  int steps_cached = 0;
  int steps_done = 0;
  std::string waiting_for;
  bool cancel_requested = false;
  int64_t last_sequence = 0;
};

v1::Build ToProto(const BuildRecord& record);
google::protobuf::Timestamp TimeToProto(absl::Time time);

}  // namespace darse::builder
