#include "tools/oci/flags.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace darse::ocitool {
namespace {

// "b=bundle" -> {"b" -> "bundle", "bundle" -> "bundle"}
std::map<std::string, std::string> Names(const std::vector<std::string>& names) {
  std::map<std::string, std::string> known;
  for (const std::string& name : names) {
    std::vector<std::string> parts = absl::StrSplit(name, '=');
    for (const std::string& part : parts) known[part] = parts.back();
  }
  return known;
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& args,
                                 const std::vector<std::string>& with_value,
                                 const std::vector<std::string>& without) {
  std::map<std::string, std::string> valued = Names(with_value), plain = Names(without);
  Flags flags;
  size_t i = 0;
  for (; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      ++i;
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') break;
    std::string name = arg.substr(arg[1] == '-' ? 2 : 1);
    size_t equals = name.find('=');
    std::string key = name.substr(0, equals);
    if (auto found = plain.find(key); found != plain.end()) {
      bool off = equals != std::string::npos && name.substr(equals + 1) == "false";
      if (!off) flags.switches.insert(found->second);
    } else if (auto found = valued.find(key); found != valued.end()) {
      if (equals == std::string::npos && i + 1 == args.size()) {
        return absl::InvalidArgumentError(absl::StrCat("flag ", arg, ": needs a value"));
      }
      std::string value = equals == std::string::npos ? args[++i] : name.substr(equals + 1);
      flags.values[found->second].push_back(std::move(value));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown flag ", arg));
    }
  }
  flags.positional.assign(args.begin() + static_cast<long>(i), args.end());
  return flags;
}

}  // namespace darse::ocitool
