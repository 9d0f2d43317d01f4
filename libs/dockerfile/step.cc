#include "libs/dockerfile/step.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/dockerfile/expand.h"

namespace darse::dockerfile {
namespace {

constexpr char kDefaultPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::optional<std::string> FindEnv(const std::vector<std::string>& env, absl::string_view name) {
  for (const std::string& entry : env) {
    absl::string_view rest = entry;
    if (absl::ConsumePrefix(&rest, name) && absl::ConsumePrefix(&rest, "=")) {
      return std::string(rest);
    }
  }
  return std::nullopt;
}

void SetEnv(std::vector<std::string>& env, absl::string_view name, absl::string_view value) {
  std::string entry = absl::StrCat(name, "=", value);
  for (std::string& old : env) {
    if (absl::StartsWith(old, absl::StrCat(name, "="))) {
      old = std::move(entry);
      return;
    }
  }
  env.push_back(std::move(entry));
}

// Applies one instruction to a copy of the state.
class Applier {
 public:
  Applier(const Instruction& instruction, const StepScope& scope, StageState& state)
      : instruction_(instruction), scope_(scope), state_(state), config_(state.config) {}

  absl::StatusOr<Step> Go() {
    step_.place = instruction_.place;
    step_.keyword = instruction_.keyword;
    step_.name = StepName(instruction_.original);
    step_.action = ConfigStep{};
    RETURN_IF_ERROR(
        std::visit([this](const auto& value) { return Do(value); }, instruction_.value));
    return std::move(step_);
  }

 private:
  absl::Status Error(absl::string_view why) const {
    return ErrorAt(instruction_.place, instruction_.keyword, why);
  }

  std::optional<std::string> Value(absl::string_view name) const {
    if (std::optional<std::string> value = FindEnv(config_.env, name)) return value;
    auto arg = state_.args.find(std::string(name));
    if (arg != state_.args.end()) return arg->second;
    return std::nullopt;
  }

  absl::StatusOr<std::string> Word(absl::string_view word) const {
    absl::StatusOr<std::string> text =
        Expand(word, scope_.escape, [this](absl::string_view name) { return Value(name); });
    if (!text.ok()) return Error(text.status().message());
    return text;
  }

  absl::StatusOr<Pairs> Words(const Pairs& pairs) const {
    Pairs out;
    for (const auto& [name, value] : pairs) {
      ASSIGN_OR_RETURN(std::string new_name, Word(name));
      ASSIGN_OR_RETURN(std::string new_value, Word(value));
      if (new_name.empty()) return Error(absl::StrCat("\"", name, "\" is an empty name"));
      out.emplace_back(std::move(new_name), std::move(new_value));
    }
    return out;
  }

  std::vector<std::string> Args(const CommandLine& command) const {
    if (command.exec_form) return command.args;
    std::vector<std::string> args = config_.shell;
    if (args.empty()) args = {"/bin/sh", "-c"};
    args.push_back(command.shell);
    return args;
  }

  std::string WorkingDir() const { return config_.working_dir.empty() ? "/" : config_.working_dir; }

  absl::Status Do(const From&) { return Error("is not allowed here"); }

  absl::Status Do(const Run& run) {
    RunStep out{.args = Args(run.command),
                .env = config_.env,
                .user = config_.user,
                .working_dir = WorkingDir(),
                .network = run.network};
    for (const auto& [name, value] : state_.args) {
      if (!FindEnv(out.env, name)) out.env.push_back(absl::StrCat(name, "=", value));
    }
    for (const auto& [name, value] : scope_.build_args) {
      if (IsProxyArg(name) && !FindEnv(out.env, name)) {
        out.uncached_env.push_back(absl::StrCat(name, "=", value));
      }
    }
    if (!FindEnv(out.env, "PATH")) out.env.push_back(kDefaultPath);
    step_.action = std::move(out);
    return absl::OkStatus();
  }

  absl::Status Do(const Copy& copy) {
    CopyStep out{.is_add = copy.is_add, .mode = copy.mode};
    for (const std::string& source : copy.sources) {
      ASSIGN_OR_RETURN(std::string path, Word(source));
      if (path.empty()) return Error(absl::StrCat("source \"", source, "\" is empty"));
      out.sources.push_back(CleanPath("/", path));
    }
    for (const Heredoc& heredoc : copy.inline_files) {
      std::string content = heredoc.content;
      if (heredoc.expand) {
        absl::StatusOr<std::string> text = ExpandText(
            content, scope_.escape, [this](absl::string_view name) { return Value(name); });
        if (!text.ok()) return Error(text.status().message());
        content = *std::move(text);
      }
      if (heredoc.name.find('/') != std::string::npos || heredoc.name == "..") {
        return Error(absl::StrCat("\"", heredoc.name, "\" is no file name"));
      }
      out.inline_files.emplace_back(heredoc.name, std::move(content));
    }
    ASSIGN_OR_RETURN(std::string destination, Word(copy.destination));
    if (destination.empty()) return Error("the destination is empty");
    out.into_directory = absl::EndsWith(destination, "/") || destination == "." ||
                         absl::EndsWith(destination, "/.") || destination == ".." ||
                         absl::EndsWith(destination, "/..");
    if (out.sources.size() + out.inline_files.size() > 1 && !out.into_directory) {
      return Error(
          absl::StrCat("with more than one source the destination must be a directory "
                       "that ends in /, not \"",
                       destination, "\""));
    }
    out.destination = CleanPath(WorkingDir(), destination);
    ASSIGN_OR_RETURN(std::string owner, Word(copy.chown));
    std::pair<std::string, std::string> parts = absl::StrSplit(owner, absl::MaxSplits(':', 1));
    out.user = parts.first;
    out.group = parts.second;
    if (!owner.empty() && out.user.empty()) {
      return Error(absl::StrCat("--chown=", owner, " names no user"));
    }
    step_.action = std::move(out);
    return absl::OkStatus();
  }

  absl::Status Do(const Env& env) {
    ASSIGN_OR_RETURN(Pairs pairs, Words(env.variables));
    for (const auto& [name, value] : pairs) SetEnv(config_.env, name, value);
    return absl::OkStatus();
  }

  absl::Status Do(const Arg& arg) {
    for (const auto& [name, fallback] : arg.variables) {
      auto given = scope_.build_args.find(name);
      if (given != scope_.build_args.end()) {
        state_.args[name] = given->second;
      } else if (fallback) {
        ASSIGN_OR_RETURN(state_.args[name], Word(*fallback));
      } else if (auto global = scope_.global_args.find(name); global != scope_.global_args.end()) {
        state_.args[name] = global->second;
      } else if (std::optional<std::string> value = PlatformArg(scope_.platform, name)) {
        state_.args[name] = *value;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Do(const Label& label) {
    ASSIGN_OR_RETURN(Pairs pairs, Words(label.labels));
    for (const auto& [name, value] : pairs) config_.labels[name] = value;
    return absl::OkStatus();
  }

  absl::Status Do(const Workdir& workdir) {
    ASSIGN_OR_RETURN(std::string path, Word(workdir.path));
    if (path.empty()) return Error("the path is empty");
    config_.working_dir = CleanPath(WorkingDir(), path);
    step_.action = WorkdirStep{.path = config_.working_dir, .user = config_.user};
    return absl::OkStatus();
  }

  absl::Status Do(const User& user) {
    ASSIGN_OR_RETURN(config_.user, Word(user.user));
    if (config_.user.empty()) return Error("the user is empty");
    return absl::OkStatus();
  }

  absl::Status Do(const Cmd& cmd) {
    config_.cmd = Args(cmd.command);
    state_.cmd_set = true;
    return absl::OkStatus();
  }

  absl::Status Do(const Entrypoint& entrypoint) {
    config_.entrypoint = Args(entrypoint.command);
    // A CMD of the base image was meant for another program.
    if (!state_.cmd_set) config_.cmd.clear();
    return absl::OkStatus();
  }

  absl::Status AddPorts(absl::string_view word) {
    std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(word, absl::MaxSplits('/', 1));
    std::string protocol = parts.second.empty() ? "tcp" : absl::AsciiStrToLower(parts.second);
    std::pair<absl::string_view, absl::string_view> range =
        absl::StrSplit(parts.first, absl::MaxSplits('-', 1));
    if (range.second.empty()) range.second = range.first;
    int first = 0, last = 0;
    bool good = absl::SimpleAtoi(range.first, &first) && absl::SimpleAtoi(range.second, &last) &&
                first >= 1 && first <= last && last <= 65535 &&
                (protocol == "tcp" || protocol == "udp" || protocol == "sctp");
    if (!good) {
      return Error(absl::StrCat("\"", word, "\" is no port: 80, 80/udp or 8000-8010/tcp"));
    }
    for (int port = first; port <= last; ++port) {
      config_.exposed_ports.insert(absl::StrCat(port, "/", protocol));
    }
    return absl::OkStatus();
  }

  absl::Status Do(const Expose& expose) {
    for (const std::string& word : expose.ports) {
      ASSIGN_OR_RETURN(std::string text, Word(word));
      for (absl::string_view port :
           absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty())) {
        RETURN_IF_ERROR(AddPorts(port));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Do(const Volume& volume) {
    for (const std::string& word : volume.paths) {
      ASSIGN_OR_RETURN(std::string path, Word(word));
      if (path.empty()) return Error("a path is empty");
      config_.volumes.insert(CleanPath(WorkingDir(), path));
    }
    return absl::OkStatus();
  }

  absl::Status Do(const Shell& shell) {
    config_.shell = shell.args;
    return absl::OkStatus();
  }

  absl::Status Do(const StopSignal& signal) {
    ASSIGN_OR_RETURN(std::string text, Word(signal.signal));
    int number = 0;
    bool good = absl::SimpleAtoi(text, &number)
                    ? number >= 1 && number <= 64
                    : !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
                        return absl::ascii_isalnum(c) || c == '+' || c == '-';
                      });
    if (!good) return Error(absl::StrCat("\"", text, "\" is no signal: SIGTERM, TERM or 15"));
    config_.stop_signal = text;
    return absl::OkStatus();
  }

  absl::Status Do(const Healthcheck& check) {
    config_.healthcheck = check;
    return absl::OkStatus();
  }

  absl::Status Do(const Maintainer& maintainer) {
    config_.author = maintainer.name;
    return absl::OkStatus();
  }

  absl::Status Do(const Onbuild& onbuild) {
    config_.on_build.push_back(onbuild.instruction);
    return absl::OkStatus();
  }

  const Instruction& instruction_;
  const StepScope& scope_;
  StageState& state_;
  ContainerConfig& config_;
  Step step_;
};

}  // namespace

StageState BeginStage(const StageState& base) {
  StageState state = base;
  state.cmd_set = false;
  return state;
}

absl::StatusOr<Step> Apply(const Instruction& instruction, const StepScope& scope,
                           StageState& state) {
  StageState next = state;
  ASSIGN_OR_RETURN(Step step, Applier(instruction, scope, next).Go());
  state = std::move(next);
  return step;
}

std::string StepName(absl::string_view original) {
  std::string name =
      absl::StrJoin(absl::StrSplit(original, absl::ByAnyChar(" \t\n\r"), absl::SkipEmpty()), " ");
  constexpr size_t kMax = 200;
  if (name.size() > kMax) {
    size_t cut = kMax - 3;
    // Not in the middle of a UTF-8 character.
    while (cut > 0 && (static_cast<unsigned char>(name[cut]) & 0xC0) == 0x80) --cut;
    name = name.substr(0, cut) + "...";
  }
  return name;
}

std::string CleanPath(absl::string_view base, absl::string_view path) {
  std::vector<absl::string_view> clean;
  auto add = [&](absl::string_view text) {
    for (absl::string_view part : absl::StrSplit(text, '/', absl::SkipEmpty())) {
      if (part == ".") continue;
      if (part != "..") {
        clean.push_back(part);
      } else if (!clean.empty()) {
        clean.pop_back();
      }
    }
  };
  if (!absl::StartsWith(path, "/")) add(base);
  add(path);
  return absl::StrCat("/", absl::StrJoin(clean, "/"));
}

}  // namespace darse::dockerfile
