// The compose project that a verb is about: found by -f, -p or the working directory, read and
// resolved.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "darse/runtime/v1/container.pb.h"
#include "libs/compose/load.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/session/session.h"

namespace darse::client {

// --file, --project-name, --env-file, --profile, --project-directory.
const std::vector<Flag>& ProjectFlags();
// Those, and more.
std::vector<Flag> WithProjectFlags(std::vector<Flag> flags);

// Warnings are noted. INVALID_ARGUMENT with every error found, a line each.
absl::StatusOr<compose::Project> LoadProject(Session& session, const Arguments& arguments,
                                             const std::vector<std::string>& services = {});

// The name of the stack: of -p, else of the compose file. Nothing if neither is there.
absl::StatusOr<std::optional<std::string>> StackName(Session& session, const Arguments& arguments);
// As above, but an error if there is none.
absl::StatusOr<std::string> RequireStackName(Session& session, const Arguments& arguments);

enum class Contexts {
  kDigest,  // only named in the spec
  kUpload,  // and handed to the scheduler
};
// Packs what is built and puts the digests into the spec.
absl::Status PrepareBuilds(Session& session, compose::Project& project, Contexts contexts);

// Containers of the stack, of these services only unless there are none. NOT_FOUND names a service
// that has none.
absl::StatusOr<std::vector<darse::runtime::v1::Container>> ContainersOf(
    Session& session, const std::string& stack, const std::vector<std::string>& services);

}  // namespace darse::client
