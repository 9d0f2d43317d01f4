// Compose files become one resolved stack: found, interpolated, merged, checked. Pure but for the
// FileReader.
//
//   read each file -> interpolate its values -> merge the files in order -> check and decode every
//   key
//
// A key that Darse does not honour is refused as "compose.yaml:12: services.web.KEY: not supported
// yet"; all such errors come together, one a line, in one INVALID_ARGUMENT.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "darse/scheduler/v1/stack.pb.h"
#include "libs/compose/file_reader.h"

namespace darse::compose {

struct LoadOptions {
  // Absolute; where files are looked for when none is named (then in its parents too).
  std::string working_dir;
  // `-f`, in order; relative to working_dir. Empty: COMPOSE_FILE, else compose.yaml, compose.yml,
  // docker-compose.yml.
  std::vector<std::string> files;
  // `--project-directory`: what relative paths in the files start from. Empty: the first file's
  // directory.
  std::string project_directory;
  // `--env-file`, in order; instead of `.env` in the project directory.
  std::vector<std::string> env_files;
  // `-p`; before COMPOSE_PROJECT_NAME, the file's `name`, and the directory's name.
  std::string project_name;
  // `--profile`, beside COMPOSE_PROFILES; "*" means all.
  std::vector<std::string> profiles;
  // Services named on the command line: they are in, whatever their profiles.
  std::vector<std::string> services;
  // Of the client's process.
  std::map<std::string, std::string> environment;
};

// A service whose image is built: what the client packs and uploads before it applies the stack.
// The digest goes to services[…].build.context_digest.
struct BuildInput {
  std::string service;
  // Absolute. Empty for dockerfile_inline without a context.
  std::string context_dir;
  // Inside the context as `build.dockerfile` says; absolute if it lies outside (then its text is in
  // build.dockerfile_text already and the context needs not hold it).
  std::string dockerfile;
};

struct Project {
  scheduler::v1::StackSpec stack;
  // In the order of stack.services.
  std::vector<BuildInput> builds;
  // Things worth saying that are no errors ("version" is obsolete; an unset variable).
  std::vector<std::string> warnings;
};

// NOT_FOUND if there is no compose file or a named one is missing; INVALID_ARGUMENT with all errors
// found.
absl::StatusOr<Project> Load(const LoadOptions& options, FileReader& files);

}  // namespace darse::compose
