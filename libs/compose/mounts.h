// `volumes`, `tmpfs` and `devices` of a service.
#pragma once

#include "libs/compose/scope.h"

namespace darse::compose {

// Also fills service.content_digests for bind-mounted single files.
void DecodeVolumes(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service);
void DecodeTmpfs(Scope& scope, const At& at, runtime::v1::ContainerSpec& container);
void DecodeDevices(Scope& scope, const At& at, runtime::v1::ContainerSpec& container);

}  // namespace darse::compose
