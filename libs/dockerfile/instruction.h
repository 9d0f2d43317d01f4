// Third pass: nodes become instructions whose flags and arguments are checked. Variables still
// stand in them. What is not supported is refused here, with its place.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/dockerfile/ast.h"
#include "libs/dockerfile/place.h"

namespace darse::dockerfile {

// A command in exec form (`args`), or in shell form (`shell` is what the shell gets).
struct CommandLine {
  bool exec_form = false;
  std::vector<std::string> args;
  std::string shell;
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct From {
  std::string image;
  // "AS name", lowercase; empty: none.
  std::string stage;
  std::string platform;
};
struct Run {
  CommandLine command;
  // "", "none" or "host".
  std::string network;
};
// COPY and ADD.
struct Copy {
  bool is_add = false;
  std::vector<std::string> sources;
  // Files given in here-documents, by name.
  std::vector<Heredoc> inline_files;
  std::string destination;
  std::string from;
  std::string chown;
  // 0: as the source.
  uint32_t mode = 0;
};
struct Env {
  Pairs variables;
};
struct Arg {
  std::vector<std::pair<std::string, std::optional<std::string>>> variables;
};
struct Label {
  Pairs labels;
};
struct Workdir {
  std::string path;
};
struct User {
  std::string user;
};
struct Cmd {
  CommandLine command;
};
struct Entrypoint {
  CommandLine command;
};
struct Expose {
  std::vector<std::string> ports;
};
struct Volume {
  std::vector<std::string> paths;
};
struct Shell {
  std::vector<std::string> args;
};
struct StopSignal {
  std::string signal;
};
struct Healthcheck {
  // {"NONE"}, {"CMD", …} or {"CMD-SHELL", command}.
  std::vector<std::string> test;
  // Zero: the default.
  absl::Duration interval, timeout, start_period, start_interval;
  int retries = 0;
};
struct Maintainer {
  std::string name;
};
struct Onbuild {
  // The instruction as written.
  std::string instruction;
};

struct Instruction {
  Place place;
  std::string keyword;
  // As written, for names of steps: "RUN apt-get update".
  std::string original;
  std::variant<From, Run, Copy, Env, Arg, Label, Workdir, User, Cmd, Entrypoint, Expose, Volume,
               Shell, StopSignal, Healthcheck, Maintainer, Onbuild>
      value;
};

// INVALID_ARGUMENT for an unknown instruction, a flag that is not supported, missing or wrong
// arguments.
absl::StatusOr<Instruction> ParseInstruction(const Node& node, char escape);

}  // namespace darse::dockerfile
