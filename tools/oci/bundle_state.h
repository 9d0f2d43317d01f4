// What darse-oci remembers of a container: `<root>/<id>/state.json`, config.json as it was at
// create, and, until start, the socket that the process waits at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "libs/container/config/spec.h"
#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::ocitool {

struct BundleState {
  std::string id;
  std::string bundle;
  std::string created;  // RFC 3339
  std::string cgroup_path;
  int64_t pid = 0;
  uint64_t pid_start_time = 0;  // field 22 of /proc/<pid>/stat: a pid alone may be another's by now
  bool own_pid_namespace = false;
  bool systemd_cgroup = false;  // cgroup_path is a scope of systemd's
};

class StateDirectory {
 public:
  explicit StateDirectory(std::string root) : root_(std::move(root)) {}

  // INVALID_ARGUMENT for an id that is no file name.
  static absl::Status CheckId(const std::string& id);
  // ALREADY_EXISTS if the container is there.
  absl::Status Create(const std::string& id);
  absl::Status Write(const BundleState& state, const std::string& config_json);
  absl::StatusOr<BundleState> Read(const std::string& id) const;
  absl::StatusOr<container::Spec> ReadSpec(const std::string& id) const;
  std::vector<std::string> List() const;
  void Remove(const std::string& id);

  // A listening socket for the process to wait at; Open connects to it and Close takes the name
  // away.
  absl::StatusOr<UniqueFd> ListenAtGate(const std::string& id);
  absl::StatusOr<UniqueFd> OpenGate(const std::string& id);
  void CloseGate(const std::string& id);

  // Of the container; for what is gone again before the command ends.
  std::string Directory(const std::string& id) const { return Path(id); }

  // Beside the containers, under a name that no id can have.
  std::string SeccompCache() const { return root_ + "/:seccomp"; }

  // "created", "running", "paused" or "stopped".
  std::string Status(const BundleState& state, cgroup::CgroupDriver* cgroups) const;

 private:
  std::string Path(const std::string& id, const std::string& file = "") const;
  const std::string root_;
};

absl::StatusOr<std::string> ReadFile(const std::string& path);
absl::Status WriteFile(const std::string& path, const std::string& content);
// 0 if there is no such process, or it is a zombie.
uint64_t ProcessStartTime(int64_t pid);
std::string NowRfc3339();

}  // namespace darse::ocitool
