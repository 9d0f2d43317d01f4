// Which stages a target needs, what each begins with and waits for. Decided before anything runs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/dockerfile/dockerfile.h"

namespace darse::dockerfile {

// Of the host, as OCI names them: "linux", "amd64", "".
struct Platform {
  std::string os = "linux";
  std::string architecture;
  std::string variant;
};

// Where files come from: an empty root, an earlier stage (its index in BuildPlan::stages), or an
// image.
struct Origin {
  enum Kind { kScratch, kStage, kImage } kind = kScratch;
  int stage = 0;
  std::string image;
};

struct PlannedInstruction {
  Instruction instruction;
  // Of a COPY --from.
  std::optional<Origin> from;
};

struct PlannedStage {
  // "build", or "stage-1" for the second if it has no name.
  std::string name;
  Place place;
  std::string original;
  Origin base;
  std::vector<PlannedInstruction> instructions;
  // Indices of stages that must be done before; all are smaller than this one's own.
  std::vector<int> depends_on;
};

struct BuildPlan {
  char escape = '\\';
  // Only those the target needs, in the file's order; the target is the last.
  std::vector<PlannedStage> stages;
  // Values of ARGs before the first FROM.
  std::map<std::string, std::string> global_args;
  std::vector<std::string> warnings;
};

struct PlanOptions {
  std::map<std::string, std::string> build_args;
  Platform platform;
  // Name or number of a stage; empty: the last.
  std::string target;
};

// NOT_FOUND for a target that is no stage, INVALID_ARGUMENT for what cannot be planned.
absl::StatusOr<BuildPlan> PlanBuild(const Dockerfile& dockerfile, const PlanOptions& options);

// TARGETPLATFORM, TARGETARCH, BUILDPLATFORM, …; all describe the host, as nothing else is built
// for.
std::optional<std::string> PlatformArg(const Platform& platform, absl::string_view name);
// HTTP_PROXY and its like: given to RUN without ARG, and no part of the cache key.
bool IsProxyArg(absl::string_view name);

}  // namespace darse::dockerfile
