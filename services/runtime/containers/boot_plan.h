// Which containers are started again after the machine was, and in which order. Pure.
#pragma once

#include <string>
#include <vector>

#include "services/runtime/containers/container_record.h"

namespace darse::runtime {

// Ids of the containers to start, each after those it depends on. A container is started again if
// its policy is ALWAYS, UNLESS_STOPPED and nobody stopped it, or ON_FAILURE and it was alive when
// the machine went down (`was_alive`). It depends on the container whose network it uses, and on
// those of its project that the label com.docker.compose.depends_on
// ("db:service_started:false,cache") names. Otherwise, and in a circle, the older comes first.
std::vector<std::string> PlanBoot(const std::vector<ContainerRecord>& containers);

// Whether a policy wants a container back whose process ended in a way that no shim saw.
bool WantsRestart(const ContainerRecord& container, bool was_alive);

}  // namespace darse::runtime
