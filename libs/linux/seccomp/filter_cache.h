// Compiled filters kept in a directory: compiling Darse's default takes 10 to 20 ms, reading it
// back 0.05.
//
// A file is named after a hash of its key, and holds: a Header, the key (the profile as OCI's JSON,
// with the versions of libseccomp and the kernel), the program. A key that is not the one asked for
// is a miss, so the hash need not be a strong one.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "libs/linux/seccomp/seccomp_filter.h"
#include "libs/linux/seccomp/seccomp_profile.h"

namespace darse::seccomp {

// As Compile. `directory` is made where it is missing; one that others than the caller can write
// to, and what is wrong with its files, is passed over: then it is compiled. Empty: no cache.
absl::StatusOr<Filter> CompileCached(const Profile& profile, const std::string& directory);

}  // namespace darse::seccomp
