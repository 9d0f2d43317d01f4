#include "libs/settings/settings.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <span>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse {
namespace {

constexpr char kDefaultFile[] = "/etc/darse/darse.toml";

absl::Status SetPath(std::string& path, absl::string_view value) {
  if (!absl::StartsWith(value, "/")) return absl::InvalidArgumentError("not an absolute path");
  path = value == "/" ? "/" : std::string(absl::StripSuffix(value, "/"));
  return absl::OkStatus();
}

absl::Status SetLevel(LogLevel& level, absl::string_view value) {
  static constexpr std::pair<absl::string_view, LogLevel> kLevels[] = {
      {"debug", LogLevel::kDebug},
      {"info", LogLevel::kInfo},
      {"warning", LogLevel::kWarning},
      {"error", LogLevel::kError}};
  for (const auto& [name, value_of_name] : kLevels) {
    if (value == name) {
      level = value_of_name;
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError("not one of debug, info, warning, error");
}

absl::Status SetPrefix(std::string& prefix, absl::string_view value) {
  bool good = !value.empty() && value.size() <= 8;
  for (char c : value) good = good && (absl::ascii_islower(c) || absl::ascii_isdigit(c));
  if (!good) return absl::InvalidArgumentError("not 1 to 8 characters of a-z and 0-9");
  prefix = std::string(value);
  return absl::OkStatus();
}

absl::Status SetIdentifier(std::string& name, absl::string_view value) {
  bool good = !value.empty() && value.size() <= 63 && absl::ascii_isalpha(value[0]);
  for (char c : value) good = good && (absl::ascii_isalnum(c) || c == '_' || c == '-');
  if (!good) return absl::InvalidArgumentError("not a letter and up to 62 of a-z A-Z 0-9 _ -");
  name = std::string(value);
  return absl::OkStatus();
}

absl::Status SetPool(std::string& pool, absl::string_view value) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(value, absl::MaxSplits('/', 1));
  std::vector<absl::string_view> octets = absl::StrSplit(parts.first, '.');
  int bits = -1;
  bool good =
      octets.size() == 4 && absl::SimpleAtoi(parts.second, &bits) && bits >= 8 && bits <= 24;
  uint32_t address = 0;
  for (absl::string_view octet : octets) {
    int number = -1;
    good = good && absl::SimpleAtoi(octet, &number) && number >= 0 && number <= 255;
    address = address << 8 | (number & 0xff);
  }
  if (!good) return absl::InvalidArgumentError("not an IPv4 network of /8 to /24");
  if ((address & (0xffffffffu >> bits)) != 0) {
    return absl::InvalidArgumentError("has bits set beyond its prefix");
  }
  pool = std::string(value);
  return absl::OkStatus();
}

absl::Status SetCgroupParent(std::string& parent, absl::string_view value) {
  absl::string_view path = absl::StripSuffix(absl::StripPrefix(value, "/"), "/");
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::InvalidArgumentError("not a path below the cgroup root");
    }
  }
  parent = std::string(path);
  return absl::OkStatus();
}

absl::Status SetHttp(std::string& http, absl::string_view value) {
  if (value.empty() || value == "off") {
    http.clear();
    return absl::OkStatus();
  }
  size_t colon = value.rfind(':');
  int port = -1;
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(value.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError("neither host:port nor \"off\"");
  }
  http = std::string(value);
  return absl::OkStatus();
}

absl::Status SetLimit(int64_t& limit, absl::string_view value) {
  if (!absl::SimpleAtoi(value, &limit) || limit < (int64_t{1} << 20)) {
    return absl::InvalidArgumentError("not a number of bytes of at least 1048576");
  }
  return absl::OkStatus();
}

absl::Status SetPoolSize(int& size, absl::string_view value) {
  if (!absl::SimpleAtoi(value, &size) || size < 0 || size > 1000) {
    return absl::InvalidArgumentError("not a number from 0 to 1000");
  }
  return absl::OkStatus();
}

// All settings, once. A key without a table is written "root", one with "network.pool".
struct Setting {
  absl::string_view key;
  absl::Status (*set)(Settings& settings, absl::string_view value);
  absl::string_view help;
};

constexpr Setting kSettings[] = {
    {"root", [](Settings& s, absl::string_view v) { return SetPath(s.root, v); },
     "state, one directory a service (/var/lib/darse)"},
    {"run", [](Settings& s, absl::string_view v) { return SetPath(s.run, v); },
     "sockets and pid files (/run/darse)"},
    {"log_level", [](Settings& s, absl::string_view v) { return SetLevel(s.log_level, v); },
     "debug, info, warning or error (info)"},
    {"network.bridge_prefix",
     [](Settings& s, absl::string_view v) { return SetPrefix(s.network_bridge_prefix, v); },
     "first letters of bridges' names (drs)"},
    {"network.pool", [](Settings& s, absl::string_view v) { return SetPool(s.network_pool, v); },
     "IPv4 network that networks get a /24 of (10.89.0.0/16)"},
    {"network.nft_table",
     [](Settings& s, absl::string_view v) { return SetIdentifier(s.network_nft_table, v); },
     "nftables table for rules (darse)"},
    {"cgroup.parent",
     [](Settings& s, absl::string_view v) { return SetCgroupParent(s.cgroup_parent, v); },
     "cgroup that holds all containers' (darse)"},
    {"shim.pool_size",
     [](Settings& s, absl::string_view v) { return SetPoolSize(s.shim_pool_size, v); },
     "shims that wait for a container, 0 for none (4)"},
    {"metrics.http", [](Settings& s, absl::string_view v) { return SetHttp(s.metrics_http, v); },
     "host:port of /metrics, \"off\" for none (127.0.0.1:9323)"},
    {"metrics.database_limit_bytes",
     [](Settings& s, absl::string_view v) { return SetLimit(s.metrics_database_limit_bytes, v); },
     "size that the history is kept within (67108864)"},
};

std::string EnvironmentName(const Setting& setting) {
  return absl::StrCat("DARSE_",
                      absl::AsciiStrToUpper(absl::StrReplaceAll(setting.key, {{".", "_"}})));
}

std::string FlagName(const Setting& setting) {
  return absl::StrCat("--", absl::StrReplaceAll(setting.key, {{".", "-"}, {"_", "-"}}));
}

absl::Status Set(Settings& settings, const Setting& setting, absl::string_view value,
                 absl::string_view where) {
  return Annotate(setting.set(settings, value), absl::StrCat(where, " \"", value, "\""));
}

absl::Status ReadTable(Settings& settings, const toml::table& table, const std::string& prefix,
                       const std::string& file) {
  for (const auto& [toml_key, node] : table) {
    std::string key = absl::StrCat(prefix, std::string(toml_key.str()));
    std::string where = absl::StrCat(file, ":", toml_key.source().begin.line, ": ", key);
    if (const toml::table* inner = node.as_table()) {
      bool known = false;
      for (const Setting& setting : kSettings) {
        known = known || absl::StartsWith(setting.key, absl::StrCat(key, "."));
      }
      if (!known) return absl::InvalidArgumentError(absl::StrCat(where, ": unknown table"));
      RETURN_IF_ERROR(ReadTable(settings, *inner, absl::StrCat(key, "."), file));
      continue;
    }
    const Setting* found = nullptr;
    for (const Setting& setting : kSettings) {
      if (setting.key == key) found = &setting;
    }
    if (found == nullptr) return absl::InvalidArgumentError(absl::StrCat(where, ": unknown key"));
    if (const toml::value<std::string>* text = node.as_string()) {
      RETURN_IF_ERROR(Set(settings, *found, text->get(), where));
    } else if (const toml::value<int64_t>* number = node.as_integer()) {
      RETURN_IF_ERROR(Set(settings, *found, absl::StrCat(number->get()), where));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": neither a string nor a whole number"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadSettingsFile(Settings& settings, const std::string& file, bool must_exist) {
  absl::StatusOr<std::string> text = ReadFile(file);
  if (absl::IsNotFound(text.status()) && !must_exist) return absl::OkStatus();
  if (!text.ok()) return text.status();
  toml::parse_result parsed = toml::parse(*text, file);
  if (!parsed) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", parsed.error().source().begin.line,
                                                   ": ",
                                                   std::string(parsed.error().description())));
  }
  return ReadTable(settings, parsed.table(), "", file);
}

struct Flag {
  const Setting* setting;
  std::string name;
  std::string value;
};

// The flags in order; --config's value goes to `file`.
absl::StatusOr<std::vector<Flag>> ReadFlags(std::span<char* const> args, Settings& settings,
                                            std::string& file) {
  std::vector<Flag> flags;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "--help" || arg == "-h") {
      settings.show_help = true;
    } else if (arg == "--version") {
      settings.show_version = true;
    } else if (arg == "--") {
      for (++i; i < args.size(); ++i) settings.arguments.emplace_back(args[i]);
    } else if (!absl::StartsWith(arg, "-") || arg == "-") {
      settings.arguments.emplace_back(arg);
    } else {
      std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(arg, absl::MaxSplits('=', 1));
      Flag flag{.setting = nullptr, .name = std::string(parts.first)};
      for (const Setting& setting : kSettings) {
        if (FlagName(setting) == flag.name) flag.setting = &setting;
      }
      if (flag.setting == nullptr && flag.name != "--config") {
        return absl::InvalidArgumentError(absl::StrCat("unknown flag ", flag.name));
      }
      if (absl::StrContains(arg, '=')) {
        flag.value = std::string(parts.second);
      } else if (i + 1 < args.size()) {
        flag.value = args[++i];
      } else {
        return absl::InvalidArgumentError(absl::StrCat("flag ", flag.name, ": needs a value"));
      }
      if (flag.setting == nullptr) {
        file = flag.value;
      } else {
        flags.push_back(std::move(flag));
      }
    }
  }
  return flags;
}

const char* FromEnvironment(char** environment, absl::string_view name) {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    absl::string_view entry = *environment;
    if (absl::ConsumePrefix(&entry, name) && absl::ConsumePrefix(&entry, "=")) return entry.data();
  }
  return nullptr;
}

}  // namespace

std::string Settings::StateDirectory(absl::string_view service) const {
  return JoinPath(root, service);
}

std::string Settings::SocketPath(absl::string_view service) const {
  return absl::StrCat(JoinPath(run, service), ".sock");
}

std::string Settings::PidPath(absl::string_view service) const {
  return absl::StrCat(JoinPath(run, service), ".pid");
}

absl::StatusOr<Settings> LoadSettings(int argc, char** argv, char** environment) {
  Settings settings;
  std::string file;
  std::span<char* const> args(argv, argc);
  ASSIGN_OR_RETURN(std::vector<Flag> flags,
                   ReadFlags(args.subspan(argc > 0 ? 1 : 0), settings, file));
  const char* from_environment = FromEnvironment(environment, "DARSE_CONFIG");
  if (file.empty() && from_environment != nullptr) file = from_environment;
  bool named = !file.empty();
  RETURN_IF_ERROR(ReadSettingsFile(settings, named ? file : kDefaultFile, named));
  for (const Setting& setting : kSettings) {
    std::string name = EnvironmentName(setting);
    const char* value = FromEnvironment(environment, name);
    if (value != nullptr) RETURN_IF_ERROR(Set(settings, setting, value, name));
  }
  for (const Flag& flag : flags) {
    RETURN_IF_ERROR(Set(settings, *flag.setting, flag.value, flag.name));
  }
  return settings;
}

std::string SettingsHelp(absl::string_view program) {
  std::string help =
      absl::StrCat("Usage: ", program, " [FLAGS]\n\n  --config FILE\n      settings (",
                   kDefaultFile, "; DARSE_CONFIG)\n");
  for (const Setting& setting : kSettings) {
    absl::StrAppend(&help, "  ", FlagName(setting), " VALUE\n      ", setting.help, "; ",
                    setting.key, " in the file, ", EnvironmentName(setting), "\n");
  }
  return help;
}

}  // namespace darse
