// The `linux.resources` object of a config, as limits of a cgroup.
#pragma once

#include "libs/container/config/json_fields.h"
#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::container {

cgroup::Limits ReadResources(const JsonFields& fields);

}  // namespace darse::container
