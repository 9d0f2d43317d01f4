// `build` of a service.
#pragma once

#include "libs/compose/load.h"
#include "libs/compose/scope.h"

namespace darse::compose {

// Fills service.build and `input`.
void DecodeBuild(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service,
                 BuildInput& input);

}  // namespace darse::compose
