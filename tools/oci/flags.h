// Command lines as runc takes them: flags (one or two dashes, "--key value" or "--key=value")
// before the positional arguments; the first positional ends them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace darse::ocitool {

struct Flags {
  std::map<std::string, std::vector<std::string>> values;
  std::set<std::string> switches;
  std::vector<std::string> positional;

  bool Has(const std::string& name) const { return switches.contains(name); }
  std::string Value(const std::string& name, const std::string& otherwise = "") const {
    auto found = values.find(name);
    return found == values.end() ? otherwise : found->second.back();
  }
  std::vector<std::string> All(const std::string& name) const {
    auto found = values.find(name);
    return found == values.end() ? std::vector<std::string>() : found->second;
  }
};

// `with_value` and `without` list the names, short ones as "b=bundle". An unknown flag is
// INVALID_ARGUMENT.
absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& args,
                                 const std::vector<std::string>& with_value,
                                 const std::vector<std::string>& without);

}  // namespace darse::ocitool
