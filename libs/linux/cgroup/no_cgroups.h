// Who may not make cgroups has containers without: nothing is limited, counted or frozen.
#pragma once

#include <memory>

#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::cgroup {

// Mode "none". Making, joining and removing succeed and do nothing. What would need a cgroup is
// FAILED_PRECONDITION: a limit that is asked for too. Thread-safe.
std::unique_ptr<CgroupDriver> NoCgroups();

}  // namespace darse::cgroup
