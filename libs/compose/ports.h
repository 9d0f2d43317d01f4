// `ports` of a service, short ("127.0.0.1:8080-8081:80-81/udp") and long.
#pragma once

#include "libs/compose/scope.h"

namespace darse::compose {

void DecodePorts(Scope& scope, const At& at, runtime::v1::ContainerSpec& container);
// `expose`: checked only. Containers of one network reach all of each other's ports.
void CheckExpose(Scope& scope, const At& at);

}  // namespace darse::compose
