// What decoding one project needs beside the tree.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "darse/scheduler/v1/stack.pb.h"
#include "libs/compose/errors.h"
#include "libs/compose/file_reader.h"
#include "libs/compose/values.h"

namespace darse::compose {

struct Scope {
  Errors& errors;
  Values& values;
  FileReader& files;
  std::vector<std::string>& warnings;
  // The process's and `.env`'s.
  const std::map<std::string, std::string>& environment;
  std::string project;
  // Absolute; relative paths start from it.
  std::string project_dir;
  std::string home;
  // Key in the file -> name in the runtime.
  std::map<std::string, std::string> networks;
  std::map<std::string, std::string> volumes;
};

}  // namespace darse::compose
