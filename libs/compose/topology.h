// Top-level `networks` and `volumes`, and a service's `networks`, `network_mode` and `depends_on`.
#pragma once

#include "libs/compose/scope.h"

namespace darse::compose {

// Fill scope.networks / scope.volumes and the stack's. `at` may be nullptr.
void DecodeNetworks(Scope& scope, const At* at, scheduler::v1::StackSpec& stack);
void DecodeVolumeKeys(Scope& scope, const At* at, scheduler::v1::StackSpec& stack);

void DecodeServiceNetworks(Scope& scope, const At& at, runtime::v1::ContainerSpec& container);
void DecodeNetworkMode(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service);
void DecodeDependsOn(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service);

}  // namespace darse::compose
