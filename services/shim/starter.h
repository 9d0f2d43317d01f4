// The heavy half of starting: a forked child of the shim reads config.json, compiles filters,
// builds the container and ends. What it has allocated ends with it; the shim stays small. The
// container's process is the shim's own child all the same.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "services/shim/shim_config.h"

namespace darse::shim {

struct StartJob {
  // Where config.json and shim.json are.
  std::string bundle_dir;
  const ShimConfig* config = nullptr;
  int stdio[3] = {-1, -1, -1};
  int clearance = -1;
  // For a further process of a container: its first one, and a descriptor of the process JSON.
  int64_t join_pid = 0;
  int process_json = -1;
};

struct StartResult {
  absl::Status status;
  int64_t pid = 0;
  UniqueFd terminal;
  std::string cgroup_path;
  bool own_pid_namespace = false;
  std::vector<std::string> warnings;
};

// Returns the socket that the result will come on (readable once it is there, or the child has
// died).
absl::StatusOr<UniqueFd> BeginStart(const StartJob& job);
StartResult FinishStart(int socket);

// Such a child that was made before its job is known, and, with cgroup v1, is in the container's
// cgroup.
struct ParkedStarter {
  pid_t pid = 0;
  UniqueFd socket;
  std::string cgroup_path;
};
// Makes the cgroup. Answers when the child is in it.
absl::StatusOr<ParkedStarter> ParkStarter(const std::string& cgroup_path);
// As BeginStart, for a first process. It reads shim.json itself.
absl::StatusOr<UniqueFd> BeginStart(ParkedStarter parked, const StartJob& job);
// Without a job.
void EndParked(ParkedStarter parked);

}  // namespace darse::shim
