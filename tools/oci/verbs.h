// The commands of darse-oci. Each takes what follows its name and returns the exit code.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "tools/oci/bundle_state.h"

namespace darse::ocitool {

struct Globals {
  std::string root = "/run/darse-oci";
  bool rootless = false;
  bool systemd_cgroup = false;
};
using Args = std::vector<std::string>;

inline constexpr char kSpecVersion[] = "1.3.0";

// For a container to be made, and for one that is there: by systemd if it was made so.
absl::StatusOr<std::unique_ptr<cgroup::CgroupDriver>> OpenCgroups(const Globals& globals);
absl::StatusOr<std::unique_ptr<cgroup::CgroupDriver>> OpenCgroups(const Globals& globals,
                                                                  const BundleState& state);

absl::StatusOr<int> Create(const Globals& globals, const Args& args);
absl::StatusOr<int> Run(const Globals& globals, const Args& args);
absl::StatusOr<int> Start(const Globals& globals, const Args& args);
absl::StatusOr<int> Kill(const Globals& globals, const Args& args);
absl::StatusOr<int> Delete(const Globals& globals, const Args& args);
absl::StatusOr<int> Exec(const Globals& globals, const Args& args);

absl::StatusOr<int> ShowState(const Globals& globals, const Args& args);
absl::StatusOr<int> List(const Globals& globals, const Args& args);
absl::StatusOr<int> Ps(const Globals& globals, const Args& args);
absl::StatusOr<int> Pause(const Globals& globals, const Args& args);
absl::StatusOr<int> Resume(const Globals& globals, const Args& args);
absl::StatusOr<int> Update(const Globals& globals, const Args& args);
absl::StatusOr<int> Events(const Globals& globals, const Args& args);
absl::StatusOr<int> Features(const Globals& globals, const Args& args);
absl::StatusOr<int> Checkpoint(const Globals& globals, const Args& args);
absl::StatusOr<int> Restore(const Globals& globals, const Args& args);
// While criu restores it calls us back, without arguments: for the hooks.
bool IsRestoreScript();
absl::Status RunRestoreScript();
absl::StatusOr<int> MakeSpec(const Globals& globals, const Args& args);

// "TERM", "SIGTERM" or "15".
absl::StatusOr<int> ParseSignal(const std::string& name);

}  // namespace darse::ocitool
