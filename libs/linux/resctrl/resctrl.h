// Shares of the last cache and of memory bandwidth, as the kernel's resctrl file system keeps them
// (Intel RDT, AMD QoS): OCI's linux.intelRdt.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::resctrl {

struct Settings {
  std::string clos_id;  // "/": the default group; empty: one named after the container
  std::vector<std::string> schemata;  // "L3:0=ff", "MB:0=50"
  bool monitoring = false;            // counts this container apart

  bool operator==(const Settings&) const = default;
};

// INVALID_ARGUMENT unless it is "/" or a file name.
absl::Status CheckClosId(absl::string_view clos_id);

// Where it is mounted; UNIMPLEMENTED where it is not.
absl::StatusOr<std::string> FindMount();

// Puts `pid` into its group, and makes that if it is missing. A group that is there already is
// another's: FAILED_PRECONDITION unless it has these schemata; NOT_FOUND if `clos_id` names none
// and says nothing of its own.
absl::Status Enter(const std::string& mount, const Settings& settings,
                   const std::string& container_id, pid_t pid);
// Removes what belongs to the container alone. OK if it is gone.
absl::Status Leave(const std::string& mount, const Settings& settings,
                   const std::string& container_id);

}  // namespace darse::resctrl
