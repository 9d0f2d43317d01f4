#include "services/builder/builds/build_input.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/dockerfile/dockerfile.h"
#include "libs/oci/reference.h"

namespace darse::builder {
namespace {

constexpr size_t kMaxDockerfileBytes = 1 << 20;

absl::Status CheckSpec(const v1::BuildSpec& spec) {
  for (const std::string& tag : spec.tags()) {
    RETURN_IF_ERROR(Annotate(oci::Reference::Parse(tag).status(), "tag"));
  }
  if (!spec.network().empty() && spec.network() != "none" && spec.network() != "host" &&
      spec.network() != "bridge") {
    return absl::InvalidArgumentError(
        absl::StrCat("network \"", spec.network(), "\" is not supported: bridge, none or host"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Epoch(const v1::BuildSpec& spec) {
  auto given = spec.build_args().find("SOURCE_DATE_EPOCH");
  if (spec.source_date_epoch() != 0 || given == spec.build_args().end() || given->second.empty()) {
    return spec.source_date_epoch();
  }
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(given->second, &seconds) || seconds < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "build argument SOURCE_DATE_EPOCH=", given->second, " is no number of seconds"));
  }
  return seconds;
}

}  // namespace

absl::StatusOr<BuildInput> ReadInput(const v1::BuildSpec& spec, ContextEngine& contexts,
                                     const dockerfile::Platform& platform) {
  RETURN_IF_ERROR(CheckSpec(spec));
  BuildInput input;
  ASSIGN_OR_RETURN(input.source_date_epoch, Epoch(spec));
  std::string file = spec.dockerfile().empty() ? "Dockerfile" : spec.dockerfile();
  std::string text = spec.dockerfile_text();
  if (!spec.context_digest().empty()) {
    RETURN_IF_ERROR(contexts.Open(spec.context_digest()).status());
  }
  if (text.empty()) {
    if (spec.context_digest().empty()) {
      return absl::InvalidArgumentError("there is neither a build context nor a Dockerfile's text");
    }
    ASSIGN_OR_RETURN(text, contexts.ReadFile(spec.context_digest(), file));
  }
  if (text.size() > kMaxDockerfileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, " is larger than 1 MiB"));
  }
  absl::StatusOr<dockerfile::Dockerfile> parsed = dockerfile::ParseDockerfile(text, file);
  if (!parsed.ok()) return WithReason(parsed.status(), "BAD_DOCKERFILE");
  dockerfile::PlanOptions options{.platform = platform, .target = spec.target()};
  options.build_args.insert(spec.build_args().begin(), spec.build_args().end());
  absl::StatusOr<dockerfile::BuildPlan> plan = dockerfile::PlanBuild(*parsed, options);
  if (absl::IsNotFound(plan.status())) return plan.status();
  if (!plan.ok()) return WithReason(plan.status(), "BAD_DOCKERFILE");
  input.plan = *std::move(plan);
  input.scope = {.escape = input.plan.escape,
                 .global_args = input.plan.global_args,
                 .build_args = options.build_args,
                 .platform = platform};
  return input;
}

}  // namespace darse::builder
