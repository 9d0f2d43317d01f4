// A profile as the BPF program that the kernel runs.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/seccomp/seccomp_profile.h"

namespace darse::seccomp {

struct Filter {
  std::vector<sock_filter> program;
  uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_…
  bool notifies = false;
};

// Takes milliseconds: do it once. Names that neither libseccomp nor this machine know are left out;
// the kernel's calls that are newer than all the names in the profile answer ENOSYS, so that
// programs fall back.
absl::StatusOr<Filter> Compile(const Profile& profile);

// Needs CAP_SYS_ADMIN or no_new_privs. Returns the listener if the filter notifies.
absl::StatusOr<UniqueFd> Load(const Filter& filter);

}  // namespace darse::seccomp
