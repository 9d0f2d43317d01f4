// A whole Dockerfile: global ARGs, then stages.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/dockerfile/instruction.h"

namespace darse::dockerfile {

struct Stage {
  From from;
  Place place;
  // As written.
  std::string original;
  // Without FROM.
  std::vector<Instruction> instructions;
};

struct Dockerfile {
  char escape = '\\';
  // Before the first FROM; known in FROM lines only, and in stages that declare them again.
  std::vector<Instruction> global_args;
  std::vector<Stage> stages;
  // "Dockerfile:3: …"
  std::vector<std::string> warnings;
};

// All passes. INVALID_ARGUMENT, as "file:LINE: INSTRUCTION: why", for the first line that cannot be
// obeyed.
absl::StatusOr<Dockerfile> ParseDockerfile(absl::string_view content, absl::string_view file);

}  // namespace darse::dockerfile
