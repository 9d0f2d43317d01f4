// A seccomp filter as OCI's linux.seccomp says it: data. Docker's JSON format and Darse's own
// default are two ways to come by one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::seccomp {

struct Comparison {
  uint32_t index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;  // for SCMP_CMP_MASKED_EQ: the value; `value` is the mask then
  std::string op;          // "SCMP_CMP_EQ", …

  bool operator==(const Comparison&) const = default;
};

struct Rule {
  std::vector<std::string> names;
  std::string action;  // "SCMP_ACT_ALLOW", …
  std::optional<uint32_t> errno_value;
  // All must hold; but several on one argument are alternatives, as runc reads them.
  std::vector<Comparison> args;

  bool operator==(const Rule&) const = default;
};

struct Profile {
  std::string default_action;
  std::optional<uint32_t> default_errno;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64", …; empty: the native one
  std::vector<std::string> flags;          // "SECCOMP_FILTER_FLAG_LOG", …
  std::string listener_path;
  std::string listener_metadata;
  std::vector<Rule> rules;

  bool operator==(const Profile&) const = default;
};

// Darse's default for a container with these capabilities (a bit each): what an ordinary program
// needs is allowed, a capability opens the calls that are of no use without it, all else answers
// EPERM.
Profile DefaultProfile(uint64_t capabilities);

// Docker's format: archMap, and per rule includes/excludes of caps, arches and minKernel, which are
// resolved here for this machine. INVALID_ARGUMENT names what is wrong.
absl::StatusOr<Profile> ParseDockerProfile(absl::string_view json, uint64_t capabilities);

// The value of linux.seccomp in config.json.
std::string ToOciJson(const Profile& profile);

}  // namespace darse::seccomp
