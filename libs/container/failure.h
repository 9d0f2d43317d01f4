// A status that knows at which step of a start it happened, and how it crosses from one process to
// another.
//
// Steps, in the order of a start: "config", "cgroup", "clone", "namespace", "hook", "rootfs",
// "mount", "device", "console", "pivot", "sysctl", "user", "limit", "capability", "seccomp", "cwd",
// "exec".
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace darse::container {

inline constexpr char kStepUrl[] = "darse/step";

// OK stays OK; a status that has a step keeps it.
absl::Status AtStep(absl::string_view step, absl::Status status);
// Empty if there is none.
std::string StepOf(const absl::Status& status);

// Code, step, errno, reason and message.
std::string EncodeFailure(const absl::Status& status);
absl::Status DecodeFailure(absl::string_view bytes);

}  // namespace darse::container
