// Reading and writing the small files of a cgroup directory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/linux/cgroup/cgroup_driver.h"

namespace darse::cgroup {

absl::Status WriteFile(const std::string& path, absl::string_view content);
absl::StatusOr<std::string> ReadFile(const std::string& path);
// A missing file, or one that holds "max", is `otherwise`.
uint64_t ReadNumber(const std::string& path, uint64_t otherwise = 0);
// "key value" a line; empty if the file is missing.
std::map<std::string, uint64_t> ReadKeyed(const std::string& path);
std::optional<Pressure> ReadPressure(const std::string& path);
bool FileExists(const std::string& path);

// mkdir -p of `path` below `mount`.
absl::Status MakeDirectories(const std::string& mount, const std::string& path);
// Removes `directory` and all cgroups below it, deepest first. OK if it is gone;
// FAILED_PRECONDITION while one has processes.
absl::Status RemoveTree(const std::string& directory);
// Appends the processes in `directory` and below.
absl::Status ListProcesses(const std::string& directory, std::vector<pid_t>& pids);

}  // namespace darse::cgroup
