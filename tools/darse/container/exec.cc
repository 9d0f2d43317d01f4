// exec and attach: into a container that runs.
#include <signal.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/interact.h"
#include "tools/darse/container/start_failure.h"
#include "tools/darse/options/key_values.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

absl::StatusOr<ExecRequest> ExecStart(const Arguments& arguments) {
  RealSurroundings around;
  ExecRequest request;
  ExecRequest::Start& start = *request.mutable_start();
  start.set_container(arguments.At(0));
  for (size_t i = 1; i < arguments.positional().size(); ++i) {
    start.add_args(arguments.positional()[i]);
  }
  ASSIGN_OR_RETURN(std::vector<std::string> environment,
                   EnvironmentFrom(arguments.Texts("env-file"), arguments.Texts("env"), around));
  for (std::string& setting : environment) start.add_env(std::move(setting));
  start.set_working_dir(arguments.Text("workdir"));
  start.set_user(arguments.Text("user"));
  start.set_tty(arguments.On("tty"));
  start.set_stdin(arguments.On("interactive") && !arguments.On("detach"));
  start.set_privileged(arguments.On("privileged"));
  start.set_detach(arguments.On("detach"));
  if (start.tty()) *start.mutable_size() = OwnTerminalSize();
  return request;
}

absl::StatusOr<int> RunExec(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(ExecRequest request, ExecStart(arguments));
  InteractOptions options;
  options.input = request.start().stdin();
  options.tty = request.start().tty();
  if (options.tty && options.input && !isatty(STDIN_FILENO)) {
    return UsageError("-t needs a terminal on standard input, and there is none: leave out -t");
  }
  if (arguments.Has("detach-keys")) {
    ASSIGN_OR_RETURN(options.detach_keys, ParseDetachKeys(arguments.Text("detach-keys")));
  }
  RETURN_IF_ERROR(session.CheckAlive(Service::kRuntime));
  CaughtSignals caught({SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  ExecStream stream = session.Open(runtime::kExec);
  ExecResponse response;
  if (!stream.Write(request) || !stream.Read(response)) {
    absl::Status status = stream.Finish();
    if (status.ok()) status = absl::UnavailableError("the runtime ended the exec without a word");
    return ReportStartFailure(session, status);
  }
  if (request.start().detach()) {
    stream.WritesDone();
    return kOk;
  }
  options.caught = &caught;
  options.forward = [&stream](int number) {
    ExecRequest signal;
    signal.set_signal(SignalName(number));
    stream.Write(signal);
  };
  absl::StatusOr<std::optional<int>> exit_code = Interact(stream, options);
  if (!exit_code.ok()) return exit_code.status();
  return exit_code->value_or(kOk);
}

absl::StatusOr<int> RunAttach(Session& session, const Arguments& arguments) {
  GetContainerRequest get;
  get.set_container(arguments.At(0));
  ASSIGN_OR_RETURN(GetContainerResponse found, session.Call(runtime::kGetContainer, get));
  const Container& container = found.container();
  if (container.state() != CONTAINER_STATE_RUNNING &&
      container.state() != CONTAINER_STATE_RESTARTING) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container.name(), " does not run: `darse start -a ",
                     container.name(), "` starts it and stays with it"));
  }
  InteractOptions options;
  options.input = container.spec().stdin_open() && !arguments.On("no-stdin");
  options.tty = container.spec().tty();
  if (arguments.Has("detach-keys")) {
    ASSIGN_OR_RETURN(options.detach_keys, ParseDetachKeys(arguments.Text("detach-keys")));
  }
  CaughtSignals caught({SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  options.caught = &caught;
  options.forward = [&, proxy = arguments.On("sig-proxy", true)](int number) {
    if (!proxy) _exit(128 + number);
    KillContainerRequest kill;
    kill.set_container(container.id());
    kill.set_signal(SignalName(number));
    session.Call(runtime::kKillContainer, kill, absl::Seconds(5)).IgnoreError();
  };
  AttachRequest::Start start;
  start.set_container(container.id());
  ASSIGN_OR_RETURN(std::unique_ptr<Attachment> attached, OpenAttach(session, start, options));
  ASSIGN_OR_RETURN(std::optional<int> exit_code, Interact(*attached, options));
  return exit_code.value_or(kOk);
}

constexpr Flag kDetachKeys = {"detach-keys", 0, Flag::kText, "KEYS",
                              "leave a terminal with these (ctrl-p,ctrl-q)"};

}  // namespace

const Verb& ExecVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "exec",
      .summary = "run a command in a container that runs",
      .arguments = "CONTAINER COMMAND [ARGUMENT…]",
      .min_arguments = 2,
      .max_arguments = -1,
      .ends_at_first_argument = true,
      .flags = {{"detach", 'd', Flag::kSwitch, "", "do not stay with it"},
                kDetachKeys,
                {"env", 'e', Flag::kTexts, "KEY=VALUE", "environment variable; KEY alone: yours"},
                {"env-file", 0, Flag::kTexts, "FILE", "file of environment variables", "@file"},
                {"interactive", 'i', Flag::kSwitch, "", "send standard input"},
                {"privileged", 0, Flag::kSwitch, "", "with all capabilities"},
                {"tty", 't', Flag::kSwitch, "", "give it a terminal"},
                {"user", 'u', Flag::kText, "USER[:GROUP]", "user and group, names or numbers"},
                {"workdir", 'w', Flag::kText, "DIR", "working directory inside"}},
      .examples =
          "darse exec -it web sh\n"
          "darse exec -u www-data web id\n",
      .text =
          "The exit code is the command's; 126: it is not executable, 127: it was not found, "
          "125: darse could not start it.",
      .completes = "@container",
      .aliases = {"container exec"},
      .run = RunExec,
  };
  return *kVerb;
}

const Verb& AttachVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "attach",
      .summary = "connect standard input and output to a container that runs",
      .arguments = "CONTAINER",
      .min_arguments = 1,
      .max_arguments = 1,
      .flags = {kDetachKeys,
                {"no-stdin", 0, Flag::kSwitch, "", "do not send standard input"},
                {"sig-proxy", 0, Flag::kSwitch, "", "hand signals to the container (true)"}},
      .examples = "darse attach web   # ctrl-p ctrl-q leaves a terminal without ending it\n",
      .completes = "@container",
      .aliases = {"container attach"},
      .run = RunAttach,
  };
  return *kVerb;
}

}  // namespace darse::client
