// Hostile config.json, process and resources objects: values or a status, never a crash; and what
// the specification says of a value that was accepted holds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "libs/container/config/spec.h"
#include "libs/linux/seccomp/seccomp_profile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darse;
  absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (absl::StatusOr<container::Spec> spec = container::ParseSpec(text); spec.ok()) {
    if (spec->root_path.empty()) abort();
    for (const container::MountEntry& mount : spec->mounts) {
      if (mount.destination.empty() || mount.destination[0] != '/') abort();
    }
    for (const container::NamespaceEntry& entry : spec->namespaces) {
      if (!entry.path.empty() && entry.path[0] != '/') abort();
    }
  }
  if (absl::StatusOr<container::Process> process = container::ParseProcess(text); process.ok()) {
    if (process->args.empty() || process->cwd.empty() || process->cwd[0] != '/') abort();
  }
  container::ParseResources(text).status().IgnoreError();
  for (uint64_t capabilities : {uint64_t{0}, ~uint64_t{0}}) {
    if (auto profile = seccomp::ParseDockerProfile(text, capabilities); profile.ok()) {
      // Once resolved, it needs no capabilities any more and says the same again.
      auto again = seccomp::ParseDockerProfile(seccomp::ToOciJson(*profile), 0);
      if (!again.ok() || !(*again == *profile)) abort();
    }
  }
  return 0;
}
