// KEY=VALUE options and files of them: --env, --env-file, --label, --label-file, --build-arg.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/darse/options/surroundings.h"

namespace darse::client {

// Files first, options over them. "KEY" alone takes the value from the client's environment, and is
// left out where it has none there. INVALID_ARGUMENT names the file and line of a bad one.
absl::StatusOr<std::vector<std::string>> EnvironmentFrom(const std::vector<std::string>& files,
                                                         const std::vector<std::string>& options,
                                                         Surroundings& around);
// As above for labels: "KEY" alone is a label without value.
absl::StatusOr<std::map<std::string, std::string>> LabelsFrom(
    const std::vector<std::string>& files, const std::vector<std::string>& options,
    Surroundings& around);
// "KEY=VALUE"; `flag` is for the message.
absl::StatusOr<std::map<std::string, std::string>> PairsFrom(
    absl::string_view flag, const std::vector<std::string>& options);

}  // namespace darse::client
