#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/failure.h"
#include "libs/container/hooks.h"
#include "libs/container/launch.h"
#include "libs/container/sync_socket.h"
#include "tools/oci/bundle_state.h"
#include "tools/oci/flags.h"
#include "tools/oci/lifecycle.h"
#include "tools/oci/terminal.h"
#include "tools/oci/verbs.h"

namespace darse::ocitool {
namespace {

using cgroup::CgroupDriver;
using container::Launched;
using container::Spec;

void Warn(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) {
    fprintf(stderr, "darse-oci: warning: %s\n", warning.c_str());
  }
}

struct Created {
  BundleState state;
  Spec spec;
  Launched launched;
};

// `foreground`: our own stdio, or a terminal that we sit in front of.
absl::StatusOr<Created> CreateContainer(const Globals& globals, const Flags& flags,
                                        const std::string& id, bool foreground) {
  ASSIGN_OR_RETURN(std::string bundle, Absolute(flags.Value("bundle", ".")));
  ASSIGN_OR_RETURN(std::string json, ReadFile(absl::StrCat(bundle, "/config.json")));
  Created created;
  ASSIGN_OR_RETURN(created.spec, container::ParseSpec(json));
  std::string console = flags.Value("console-socket");
  if (created.spec.process.terminal && !foreground && console.empty()) {
    return absl::InvalidArgumentError("process.terminal: needs --console-socket when detached");
  }
  if (!created.spec.process.terminal && !console.empty()) {
    return absl::InvalidArgumentError("--console-socket: process.terminal is not set");
  }
  int preserve = 0;
  if (!absl::SimpleAtoi(flags.Value("preserve-fds", "0"), &preserve) || preserve < 0) {
    return absl::InvalidArgumentError("--preserve-fds: not a number");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<CgroupDriver> cgroups, OpenCgroups(globals));
  StateDirectory states(globals.root);
  if (globals.rootless && created.spec.FindNamespace(CLONE_NEWUSER) == nullptr) {
    return absl::InvalidArgumentError(
        "linux.namespaces: without root a container needs a user namespace (darse-oci spec "
        "--rootless makes such a config.json)");
  }
  ASSIGN_OR_RETURN(std::string cgroup_path, cgroups->Resolve(created.spec.cgroups_path, id));
  RETURN_IF_ERROR(states.Create(id));
  absl::Cleanup undo = [&] { states.Remove(id); };
  ASSIGN_OR_RETURN(UniqueFd gate, states.ListenAtGate(id));
  if (chdir(bundle.c_str()) < 0) return SyscallError(errno, absl::StrCat("chdir ", bundle));
  container::LaunchOptions options = {.id = id,
                                      .bundle = bundle,
                                      .stdio = {0, 1, 2},
                                      .gate = gate.get(),
                                      .preserve_fds = preserve,
                                      .no_pivot = flags.Has("no-pivot"),
                                      .no_new_keyring = flags.Has("no-new-keyring"),
                                      .all_limits = true,
                                      .seccomp_cache = states.SeccompCache()};
  ASSIGN_OR_RETURN(created.launched, container::Launch(created.spec, cgroups.get(), options));
  absl::Cleanup undo_process = [&] {
    kill(created.launched.pid, SIGKILL);
    waitpid(created.launched.pid, nullptr, 0);
    cgroups->Delete(cgroup_path).IgnoreError();
  };
  Warn(created.launched.warnings);
  if (!console.empty()) RETURN_IF_ERROR(SendConsole(console, created.launched.terminal.get()));
  const container::NamespaceEntry* pid = created.spec.FindNamespace(CLONE_NEWPID);
  created.state = {.id = id,
                   .bundle = bundle,
                   .created = NowRfc3339(),
                   .cgroup_path = cgroup_path,
                   .pid = created.launched.pid,
                   .pid_start_time = ProcessStartTime(created.launched.pid),
                   .own_pid_namespace = pid != nullptr && pid->path.empty(),
                   .systemd_cgroup = globals.systemd_cgroup};
  RETURN_IF_ERROR(states.Write(created.state, json));
  RETURN_IF_ERROR(WritePidFile(flags, created.launched.pid));
  std::move(undo_process).Cancel();
  std::move(undo).Cancel();
  return created;
}

absl::Status StartContainer(const Globals& globals, const BundleState& state, const Spec& spec) {
  StateDirectory states(globals.root);
  std::string status = states.Status(state, nullptr);
  if (status != "created") {
    return absl::FailedPreconditionError(
        absl::StrCat("start ", state.id, ": the container is ", status, ", not created"));
  }
  ASSIGN_OR_RETURN(UniqueFd gate, states.OpenGate(state.id));
  states.CloseGate(state.id);
  RETURN_IF_ERROR(container::SendSync(gate.get(), 'S'));
  for (bool executing = false;;) {
    ASSIGN_OR_RETURN(container::SyncMessage message, container::ReceiveSync(gate.get()));
    if (message.letter == 'F') return container::DecodeFailure(message.text);
    if (message.letter == 'X') executing = true;
    if (message.letter != 0) continue;
    if (!executing) return absl::AbortedError("the process ended before it was started");
    break;
  }
  return container::RunHooks(spec.hooks.poststart, HookStateOf(spec, state, "running"));
}

const std::vector<std::string> kCreateValues = {"b=bundle", "console-socket", "pid-file",
                                                "preserve-fds"};

}  // namespace

absl::StatusOr<int> Create(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, kCreateValues, {"no-pivot", "no-new-keyring"}));
  ASSIGN_OR_RETURN(std::string id, TheId(flags));
  RETURN_IF_ERROR(CreateContainer(globals, flags, id, /*foreground=*/false).status());
  return 0;
}

absl::StatusOr<int> Start(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {}, {}));
  ASSIGN_OR_RETURN(std::string id, TheId(flags));
  StateDirectory states(globals.root);
  ASSIGN_OR_RETURN(BundleState state, states.Read(id));
  ASSIGN_OR_RETURN(Spec spec, states.ReadSpec(id));
  RETURN_IF_ERROR(StartContainer(globals, state, spec));
  return 0;
}

absl::StatusOr<int> Run(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags,
                   ParseFlags(args, kCreateValues,
                              {"d=detach", "keep", "no-pivot", "no-new-keyring", "no-subreaper"}));
  ASSIGN_OR_RETURN(std::string id, TheId(flags));
  bool detach = flags.Has("detach");
  if (!detach) {
    HoldChildSignal();
    if (!flags.Has("no-subreaper")) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  }
  ASSIGN_OR_RETURN(Created created, CreateContainer(globals, flags, id, !detach));
  if (!detach) HoldSignals();
  absl::Status started = StartContainer(globals, created.state, created.spec);
  if (!started.ok()) {
    DeleteContainer(globals, created.state, /*force=*/true).IgnoreError();
    return started;
  }
  if (detach) return 0;
  bool to_us = flags.Value("console-socket").empty();
  ASSIGN_OR_RETURN(int code,
                   Accompany(created.launched.pid, to_us ? created.launched.terminal.get() : -1));
  if (!flags.Has("keep")) RETURN_IF_ERROR(DeleteContainer(globals, created.state, /*force=*/true));
  return code;
}

absl::StatusOr<int> Delete(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {}, {"f=force"}));
  if (flags.positional.empty()) return absl::InvalidArgumentError("takes a container id");
  for (const std::string& id : flags.positional) {
    absl::StatusOr<BundleState> state = StateDirectory(globals.root).Read(id);
    if (absl::IsNotFound(state.status()) && flags.Has("force")) {
      // What a command made that was killed before there was a container.
      StateDirectory(globals.root).Remove(id);
      continue;
    }
    RETURN_IF_ERROR(state.status());
    RETURN_IF_ERROR(DeleteContainer(globals, *state, flags.Has("force")));
  }
  return 0;
}

absl::StatusOr<int> ParseSignal(const std::string& name) {
  int number = 0;
  if (absl::SimpleAtoi(name, &number) && number > 0 && number < NSIG) return number;
  std::string upper = absl::AsciiStrToUpper(name);
  absl::string_view bare = absl::StripPrefix(upper, "SIG");
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* abbreviation = sigabbrev_np(signal);
    if (abbreviation != nullptr && bare == abbreviation) return signal;
  }
  if (absl::ConsumePrefix(&bare, "RTMIN")) {
    number = 0;
    bool fits =
        bare.empty() || (absl::ConsumePrefix(&bare, "+") && absl::SimpleAtoi(bare, &number));
    if (fits && number >= 0 && SIGRTMIN + number <= SIGRTMAX) return SIGRTMIN + number;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("signal \"", name, "\": Linux has none of that name"));
}

absl::StatusOr<int> Kill(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {}, {"a=all"}));
  // As with runc: kill ID [SIGNAL] [--all].
  Args words = flags.positional;
  bool all = flags.Has("all");
  while (!words.empty() && (words.back() == "--all" || words.back() == "-a")) {
    words.pop_back();
    all = true;
  }
  if (words.empty() || words.size() > 2)
    return absl::InvalidArgumentError("takes an id and a signal");
  ASSIGN_OR_RETURN(int signal, ParseSignal(words.size() == 2 ? words[1] : "TERM"));
  StateDirectory states(globals.root);
  ASSIGN_OR_RETURN(BundleState state, states.Read(words[0]));
  ASSIGN_OR_RETURN(std::unique_ptr<CgroupDriver> cgroups, OpenCgroups(globals, state));
  if (all || !state.own_pid_namespace) {
    // Nobody is left where there is no cgroup: systemd takes an empty scope away.
    if (signal == SIGKILL) {
      absl::Status killed = cgroups->KillAll(state.cgroup_path);
      if (!absl::IsNotFound(killed)) RETURN_IF_ERROR(killed);
      return 0;
    }
    if (all) {
      absl::StatusOr<std::vector<pid_t>> pids = cgroups->Processes(state.cgroup_path);
      if (absl::IsNotFound(pids.status())) return 0;
      RETURN_IF_ERROR(pids.status());
      for (pid_t pid : *pids) kill(pid, signal);
      return 0;
    }
  }
  if (states.Status(state, cgroups.get()) == "stopped") {
    return absl::FailedPreconditionError("container not running");
  }
  if (kill(static_cast<pid_t>(state.pid), signal) < 0) return SyscallError(errno, "kill");
  // A frozen process dies only when it thaws.
  if (signal == SIGKILL && cgroups->IsFrozen(state.cgroup_path).value_or(false)) {
    RETURN_IF_ERROR(cgroups->Thaw(state.cgroup_path));
  }
  return 0;
}

absl::StatusOr<int> Exec(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags,
                   ParseFlags(args,
                              {"console-socket", "cwd", "e=env", "u=user", "g=additional-gids",
                               "p=process", "pid-file", "c=cap", "preserve-fds"},
                              {"t=tty", "d=detach", "no-new-privs", "ignore-paused"}));
  if (flags.positional.empty())
    return absl::InvalidArgumentError("takes a container id and a command");
  StateDirectory states(globals.root);
  ASSIGN_OR_RETURN(BundleState state, states.Read(flags.positional[0]));
  ASSIGN_OR_RETURN(Spec spec, states.ReadSpec(state.id));
  ASSIGN_OR_RETURN(std::unique_ptr<CgroupDriver> cgroups, OpenCgroups(globals, state));
  std::string status = states.Status(state, cgroups.get());
  // In a created one too, as runc: all is in place but the program.
  if (status == "stopped" || (status == "paused" && !flags.Has("ignore-paused"))) {
    return absl::FailedPreconditionError(absl::StrCat("exec: the container is ", status));
  }
  container::JoinOptions options = {.id = state.id,
                                    .bundle = state.bundle,
                                    .target = static_cast<pid_t>(state.pid),
                                    .stdio = {0, 1, 2},
                                    .seccomp_cache = states.SeccompCache()};
  if (std::string path = flags.Value("process"); !path.empty()) {
    ASSIGN_OR_RETURN(std::string json, ReadFile(path));
    ASSIGN_OR_RETURN(options.process, container::ParseProcess(json));
  } else {
    options.process = spec.process;
    options.process.args.assign(flags.positional.begin() + 1, flags.positional.end());
    if (options.process.args.empty())
      return absl::InvalidArgumentError("exec: a command is missing");
    options.process.terminal = flags.Has("tty");
  }
  container::Process& process = options.process;
  if (flags.Has("tty")) process.terminal = true;
  if (flags.Has("no-new-privs")) process.no_new_privileges = true;
  process.cwd = flags.Value("cwd", process.cwd);
  for (const std::string& variable : flags.All("env")) process.env.push_back(variable);
  if (std::string user = flags.Value("user"); !user.empty()) {
    process.user.username = user;
    process.user.additional_gids.clear();
  }
  for (const std::string& gid : flags.All("additional-gids")) {
    process.user.additional_groups.push_back(gid);
  }
  for (const std::string& name : flags.All("cap")) {
    ASSIGN_OR_RETURN(int capability, capability::Parse(name));
    if (!process.capabilities.has_value()) continue;
    capability::Set bit = capability::Bit(capability);
    process.capabilities->bounding |= bit;
    process.capabilities->permitted |= bit;
    process.capabilities->effective |= bit;
  }
  if (!absl::SimpleAtoi(flags.Value("preserve-fds", "0"), &options.preserve_fds)) {
    return absl::InvalidArgumentError("--preserve-fds: not a number");
  }
  bool detach = flags.Has("detach");
  std::string console = flags.Value("console-socket");
  if (process.terminal && detach && console.empty()) {
    return absl::InvalidArgumentError("a terminal needs --console-socket when detached");
  }
  HoldSignals();
  // The process is made by one inside, which ends: it then becomes ours.
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  ASSIGN_OR_RETURN(Launched launched, container::Join(spec, cgroups.get(), options));
  Warn(launched.warnings);
  RETURN_IF_ERROR(WritePidFile(flags, launched.pid));
  if (!console.empty()) RETURN_IF_ERROR(SendConsole(console, launched.terminal.get()));
  if (detach) return 0;
  return Accompany(launched.pid, console.empty() ? launched.terminal.get() : -1);
}

}  // namespace darse::ocitool
