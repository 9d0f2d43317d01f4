#include "tools/darse/stack/project.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/compose/file_reader.h"
#include "tools/darse/build/context.h"
#include "tools/darse/build/upload.h"
#include "tools/darse/container/container_rows.h"
#include "tools/darse/container/lookup.h"
#include "tools/darse/options/surroundings.h"

namespace darse::client {
namespace {

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string setting = *entry;
    const size_t equals = setting.find('=');
    if (equals != std::string::npos)
      environment[setting.substr(0, equals)] = setting.substr(equals + 1);
  }
  return environment;
}

}  // namespace

const std::vector<Flag>& ProjectFlags() {
  static const auto* const kFlags = new std::vector<Flag>{
      {"file", 'f', Flag::kTexts, "FILE", "compose file; compose.yaml here or above if left out",
       "@file"},
      {"project-name", 'p', Flag::kText, "NAME", "name of the stack", "@stack"},
      {"env-file", 0, Flag::kTexts, "FILE", "variables for the compose file, instead of .env",
       "@file"},
      {"profile", 0, Flag::kTexts, "NAME", "services of this profile, too"},
      {"project-directory", 0, Flag::kText, "DIR", "what relative paths start from", "@file"},
  };
  return *kFlags;
}

std::vector<Flag> WithProjectFlags(std::vector<Flag> flags) {
  flags.insert(flags.end(), ProjectFlags().begin(), ProjectFlags().end());
  return flags;
}

absl::StatusOr<compose::Project> LoadProject(Session& session, const Arguments& arguments,
                                             const std::vector<std::string>& services) {
  RealSurroundings around;
  compose::LoadOptions options;
  options.working_dir = around.WorkingDirectory();
  options.files = arguments.Texts("file");
  options.project_directory = arguments.Text("project-directory");
  options.env_files = arguments.Texts("env-file");
  options.project_name = arguments.Text("project-name");
  options.profiles = arguments.Texts("profile");
  options.services = services;
  options.environment = Environment();
  compose::DiskFileReader files;
  ASSIGN_OR_RETURN(compose::Project project, compose::Load(options, files));
  for (const std::string& warning : project.warnings)
    session.Note(absl::StrCat("warning: ", warning));
  return project;
}

absl::StatusOr<std::optional<std::string>> StackName(Session& session, const Arguments& arguments) {
  if (arguments.Has("project-name") && !arguments.Has("file")) {
    return std::optional<std::string>(arguments.Text("project-name"));
  }
  absl::StatusOr<compose::Project> project = LoadProject(session, arguments);
  if (absl::IsNotFound(project.status()) && !arguments.Has("file"))
    return std::optional<std::string>();
  RETURN_IF_ERROR(project.status());
  return std::optional<std::string>(project->stack.name());
}

absl::StatusOr<std::string> RequireStackName(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(std::optional<std::string> name, StackName(session, arguments));
  if (name) return *name;
  return UsageError(
      "there is no compose file here: name one with -f, or the stack with -p (`darse stacks` lists "
      "them)");
}

absl::Status PrepareBuilds(Session& session, compose::Project& project, Contexts contexts) {
  ProgressLine progress(session.errors_are_terminal());
  RealSurroundings around;
  // Services often share a context.
  std::map<std::pair<std::string, std::string>, std::string> digests;
  for (const compose::BuildInput& input : project.builds) {
    auto& services = *project.stack.mutable_services();
    auto service = std::find_if(services.begin(), services.end(),
                                [&](const auto& one) { return one.name() == input.service; });
    if (service == services.end() || input.context_dir.empty()) continue;
    builder::v1::BuildSpec& build = *service->mutable_build();
    const bool inside = !input.dockerfile.empty() && !absl::StartsWith(input.dockerfile, "/");
    const std::string rules = inside ? input.dockerfile : "";
    ASSIGN_OR_RETURN(BuildContext context, BuildContext::Open(input.context_dir, rules));
    if (inside && build.dockerfile_text().empty() && !context.Holds(input.dockerfile)) {
      ASSIGN_OR_RETURN(*build.mutable_dockerfile_text(),
                       around.ReadFile(absl::StrCat(input.context_dir, "/", input.dockerfile)));
    }
    std::string& digest = digests[{input.context_dir, rules}];
    if (digest.empty()) {
      int64_t bytes = 0;
      absl::StatusOr<std::string> made = contexts == Contexts::kUpload
                                             ? UploadToScheduler(session, context, progress)
                                             : context.Digest(bytes);
      if (!made.ok()) return Annotate(made.status(), absl::StrCat("service ", input.service));
      digest = *std::move(made);
    }
    build.set_context_digest(digest);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<darse::runtime::v1::Container>> ContainersOf(
    Session& session, const std::string& stack, const std::vector<std::string>& services) {
  ASSIGN_OR_RETURN(std::vector<darse::runtime::v1::Container> all,
                   ContainersOfStack(session, stack));
  if (services.empty()) return all;
  std::vector<darse::runtime::v1::Container> chosen;
  for (const std::string& service : services) {
    const size_t before = chosen.size();
    for (const auto& container : all) {
      auto label = container.spec().labels().find(kServiceLabel);
      const bool is_service = label != container.spec().labels().end() && label->second == service;
      if (is_service || container.name() == service) chosen.push_back(container);
    }
    if (chosen.size() == before) {
      return absl::NotFoundError(
          absl::StrCat("stack ", stack, " has no container of a service \"", service, "\""));
    }
  }
  return chosen;
}

}  // namespace darse::client
