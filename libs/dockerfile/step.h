// Last pass: an instruction, with all its variables replaced, becomes a step; the stage's state
// moves on with it. Pure: what the step does to files is done elsewhere.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/dockerfile/build_plan.h"
#include "libs/dockerfile/instruction.h"

namespace darse::dockerfile {

// What an image says about the containers made of it.
struct ContainerConfig {
  // KEY=VALUE, in the order in which they were first set.
  std::vector<std::string> env;
  std::string user;
  std::string working_dir;
  std::vector<std::string> entrypoint, cmd;
  // "80/tcp"
  std::set<std::string> exposed_ports;
  std::set<std::string> volumes;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<Healthcheck> healthcheck;
  // Empty: /bin/sh -c.
  std::vector<std::string> shell;
  std::vector<std::string> on_build;
  std::string author;
};

// What a stage has gathered so far.
struct StageState {
  ContainerConfig config;
  // ARGs declared and set.
  std::map<std::string, std::string> args;
  // CMD stood in this stage, so that ENTRYPOINT does not take it away.
  bool cmd_set = false;
};

// Same for all steps of a build.
struct StepScope {
  char escape = '\\';
  std::map<std::string, std::string> global_args;
  std::map<std::string, std::string> build_args;
  Platform platform;
};

struct RunStep {
  std::vector<std::string> args;
  // Of the image, and ARGs.
  std::vector<std::string> env;
  // Proxies: given to the command, but no part of the cache key.
  std::vector<std::string> uncached_env;
  std::string user;
  std::string working_dir;
  // "", "none", "host".
  std::string network;
};
struct CopyStep {
  bool is_add = false;
  // Clean and absolute, below the root of the context or of the other stage. A last "/" is kept
  // away.
  std::vector<std::string> sources;
  // Name and content.
  std::vector<std::pair<std::string, std::string>> inline_files;
  // Clean and absolute.
  std::string destination;
  // The destination is a directory by its spelling ("dir/", ".").
  bool into_directory = false;
  std::string user, group;
  uint32_t mode = 0;
};
// Makes the directory if it is missing.
struct WorkdirStep {
  std::string path;
  std::string user;
};
// Changes only the config.
struct ConfigStep {};

struct Step {
  Place place;
  std::string keyword;
  // "RUN apt-get update": one line.
  std::string name;
  std::variant<RunStep, CopyStep, WorkdirStep, ConfigStep> action;
};

// Beginning of a stage over another one, or over an image with `config`.
StageState BeginStage(const StageState& base);

// INVALID_ARGUMENT, with the place. `state` is unchanged then.
absl::StatusOr<Step> Apply(const Instruction& instruction, const StepScope& scope,
                           StageState& state);

// The instruction's text on one line, at most 200 bytes.
std::string StepName(absl::string_view original);
// "/a/../b/" → "/b"; relative paths stand below `base`.
std::string CleanPath(absl::string_view base, absl::string_view path);

}  // namespace darse::dockerfile
