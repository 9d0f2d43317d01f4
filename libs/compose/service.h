// One entry of `services`.
#pragma once

#include "libs/compose/load.h"
#include "libs/compose/scope.h"

namespace darse::compose {

// `at` is the entry's value, `name` its key. Adds to project.stack.services and, for a build, to
// project.builds.
void DecodeService(Scope& scope, const At& at, absl::string_view name, Project& project);

}  // namespace darse::compose
