// What the runtime remembers of a container.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "darse/runtime/v1/container.pb.h"
#include "services/runtime/containers/lifecycle.h"
#include "services/runtime/networks/network.h"

namespace darse::runtime {

// What was begun and not yet recorded as done; recovery finishes or undoes it. Stored as numbers;
// never renumber.
enum class Intent {
  kNone = 0,
  // Directories, snapshot, volumes and addresses may exist in part; the container is nobody's yet.
  kCreate = 1,
  // Made by one who starts it next: if that start never came, it is nobody's either.
  kStart = 2,
};

// Stored as numbers, equal to the proto's.
enum class HealthStatus { kNone = 0, kStarting = 1, kHealthy = 2, kUnhealthy = 3 };

struct HealthRecord {
  HealthStatus status = HealthStatus::kNone;
  int failing_streak = 0;
  std::string last_output;
  // InfinitePast: never.
  absl::Time last_probe_at = absl::InfinitePast();

  bool operator==(const HealthRecord&) const = default;
};

struct ContainerRecord {
  std::string id;
  std::string name;
  // As asked for, and as MergeImage made it with every volume named.
  v1::ContainerSpec spec;
  v1::ContainerSpec merged;
  // Empty over a snapshot of somebody else's.
  std::string image_id;
  ContainerState state = ContainerState::kCreated;
  Intent intent = Intent::kNone;
  absl::Time created_at = absl::InfinitePast();
  // InfinitePast: never.
  absl::Time started_at = absl::InfinitePast();
  absl::Time finished_at = absl::InfinitePast();
  int exit_code = 0;
  bool oom_killed = false;
  std::string error;
  int64_t pid = 0;
  int restart_count = 0;
  // Of the newest record of the shim's exit journal that is part of this record.
  uint64_t exit_sequence = 0;
  // The newest start was followed by a stop on request.
  bool stop_requested = false;
  HealthRecord health;
  std::vector<Endpoint> endpoints;
  std::vector<PortMapping> ports;
  std::string cgroup_path;
  // Of its user namespace, while it runs; 0: the host's.
  uint32_t first_user_id = 0;
  // Why the newest start was in the host's (user_namespace.h).
  std::string user_namespace_obstacle;
  int64_t revision = 0;

  // One that nobody expects to find after a power cut: recovery takes it away, whatever of it was
  // written, and no volume was told of in passing.
  bool is_transient() const {
    return spec.auto_remove() &&
           std::none_of(merged.mounts().begin(), merged.mounts().end(), [](const v1::Mount& mount) {
             return mount.type() == v1::MOUNT_TYPE_VOLUME;
           });
  }
  const std::string& snapshot_id() const {
    return spec.snapshot_id().empty() ? id : spec.snapshot_id();
  }
};

}  // namespace darse::runtime
