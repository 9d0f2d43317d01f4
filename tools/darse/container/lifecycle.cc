// start, stop, restart, kill, pause, unpause, rm, wait: verbs that take containers and change their
// state. Each container is tried; the exit code is that of the first that failed.
#include <optional>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/container_rows.h"
#include "tools/darse/container/interact.h"
#include "tools/darse/container/lookup.h"
#include "tools/darse/container/start_failure.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

// Prints each name that `act` was done to.
absl::StatusOr<int> ForEach(Session& session, const std::vector<std::string>& names,
                            absl::FunctionRef<absl::Status(const std::string&)> act) {
  int code = kOk;
  for (const std::string& name : names) {
    absl::Status status = act(name);
    if (status.ok()) {
      session.Print(absl::StrCat(name, "\n"));
      continue;
    }
    const int failed = session.Report(status);
    if (code == kOk) code = failed;
    // The others would only say the same.
    if (failed == kServiceMissingCode) return failed;
  }
  return code;
}

absl::StatusOr<int> StartAttached(Session& session, const Arguments& arguments) {
  if (arguments.positional().size() != 1) {
    return UsageError("`darse start --attach` takes one container");
  }
  GetContainerRequest get;
  get.set_container(arguments.At(0));
  ASSIGN_OR_RETURN(GetContainerResponse found, session.Call(runtime::kGetContainer, get));
  const std::string id = found.container().id();
  InteractOptions options;
  options.input = arguments.On("interactive") && found.container().spec().stdin_open();
  options.tty = found.container().spec().tty();
  CaughtSignals caught({SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  options.caught = &caught;
  options.forward = [&](int number) {
    KillContainerRequest kill;
    kill.set_container(id);
    kill.set_signal(SignalName(number));
    session.Call(runtime::kKillContainer, kill, absl::Seconds(5)).IgnoreError();
  };
  options.starts = true;
  AttachRequest::Start start;
  start.set_container(id);
  absl::StatusOr<std::unique_ptr<Attachment>> attached = OpenAttach(session, start, options);
  if (!attached.ok()) return ReportStartFailure(session, attached.status());
  ASSIGN_OR_RETURN(std::optional<int> exit_code, Interact(**attached, options));
  return exit_code.value_or(kOk);
}

absl::StatusOr<int> RunStart(Session& session, const Arguments& arguments) {
  if (arguments.On("attach") || arguments.On("interactive")) {
    return StartAttached(session, arguments);
  }
  return ForEach(session, arguments.positional(), [&](const std::string& name) {
    StartContainerRequest request;
    request.set_container(name);
    return session.Call(runtime::kStartContainer, request).status();
  });
}

absl::StatusOr<std::optional<google::protobuf::Duration>> TimeoutOf(const Arguments& arguments) {
  if (!arguments.Has("time")) return std::nullopt;
  ASSIGN_OR_RETURN(absl::Duration timeout,
                   Annotate(ParseDuration(arguments.Text("time")), "--time"));
  return ToProto(timeout);
}

absl::StatusOr<int> RunStop(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(std::optional<google::protobuf::Duration> timeout, TimeoutOf(arguments));
  return ForEach(session, arguments.positional(), [&](const std::string& name) {
    StopContainerRequest request;
    request.set_container(name);
    if (timeout) *request.mutable_timeout() = *timeout;
    return session.Call(runtime::kStopContainer, request).status();
  });
}

absl::StatusOr<int> RunKill(Session& session, const Arguments& arguments) {
  return ForEach(session, arguments.positional(), [&](const std::string& name) {
    KillContainerRequest request;
    request.set_container(name);
    request.set_signal(arguments.Text("signal"));
    return session.Call(runtime::kKillContainer, request).status();
  });
}

absl::StatusOr<int> RunPause(Session& session, const Arguments& arguments) {
  return ForEach(session, arguments.positional(), [&](const std::string& name) {
    PauseContainerRequest request;
    request.set_container(name);
    return session.Call(runtime::kPauseContainer, request).status();
  });
}

absl::StatusOr<int> RunUnpause(Session& session, const Arguments& arguments) {
  return ForEach(session, arguments.positional(), [&](const std::string& name) {
    UnpauseContainerRequest request;
    request.set_container(name);
    return session.Call(runtime::kUnpauseContainer, request).status();
  });
}

absl::StatusOr<int> RunRemove(Session& session, const Arguments& arguments) {
  return ForEach(session, arguments.positional(), [&](const std::string& name) {
    DeleteContainerRequest request;
    request.set_container(name);
    request.set_force(arguments.On("force"));
    request.set_delete_volumes(arguments.On("volumes"));
    return session.Call(runtime::kDeleteContainer, request).status();
  });
}

absl::StatusOr<int> RunPrune(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(ContainerFilter filter, ContainerFilter::Parse(arguments.Texts("filter")));
  ListContainersRequest request;
  request.add_states(CONTAINER_STATE_CREATED);
  request.add_states(CONTAINER_STATE_EXITED);
  ASSIGN_OR_RETURN(std::vector<Container> stopped, ListContainers(session, request));
  std::vector<std::string> names;
  for (const Container& container : stopped) {
    if (filter.Matches(container)) names.push_back(container.name());
  }
  return ForEach(session, names, [&](const std::string& name) {
    DeleteContainerRequest remove;
    remove.set_container(name);
    return session.Call(runtime::kDeleteContainer, remove).status();
  });
}

absl::StatusOr<int> RunWait(Session& session, const Arguments& arguments) {
  WaitContainerRequest request;
  const std::string condition = arguments.Text("condition");
  if (condition == "removed") request.set_condition(WaitContainerRequest::REMOVED);
  if (condition == "healthy") request.set_condition(WaitContainerRequest::HEALTHY);
  for (const std::string& name : arguments.positional()) {
    request.set_container(name);
    ASSIGN_OR_RETURN(WaitContainerResponse response,
                     session.Call(runtime::kWaitContainer, request));
    session.Print(absl::StrCat(response.exit_code(), "\n"));
    session.Flush();
  }
  return kOk;
}

constexpr Flag kTimeFlag = {"time", 't', Flag::kText, "SECONDS", "wait so long before SIGKILL"};

Verb Lifecycle(const char* name, const char* summary, std::vector<Flag> flags, const char* examples,
               std::vector<const char*> aliases,
               absl::StatusOr<int> (*run)(Session&, const Arguments&)) {
  return {.name = name,
          .summary = summary,
          .arguments = "CONTAINER…",
          .min_arguments = 1,
          .max_arguments = -1,
          .flags = std::move(flags),
          .examples = examples,
          .completes = "@container",
          .aliases = std::move(aliases),
          .run = run};
}

}  // namespace

std::vector<const Verb*> LifecycleVerbs() {
  static const Verb* const kVerbs = new Verb[]{
      Lifecycle("start", "start containers that do not run",
                {{"attach", 'a', Flag::kSwitch, "",
                  "show its output, hand on signals, take its exit code"},
                 {"interactive", 'i', Flag::kSwitch, "", "send standard input, too"}},
                "darse start web\ndarse start -a job; echo $?\n", {"container start"}, RunStart),
      Lifecycle("stop", "ask containers to end, kill them if they do not", {kTimeFlag},
                "darse stop web\ndarse stop -t 60 db\n", {"container stop"}, RunStop),
      Lifecycle("kill", "send a signal to containers",
                {{"signal", 's', Flag::kText, "SIGNAL", "name or number; SIGKILL if left out"}},
                "darse kill -s HUP web\n", {"container kill"}, RunKill),
      Lifecycle("pause", "freeze all processes of containers", {}, "darse pause web\n",
                {"container pause"}, RunPause),
      Lifecycle("unpause", "let frozen containers go on", {}, "darse unpause web\n",
                {"container unpause"}, RunUnpause),
      Lifecycle("rm", "delete containers",
                {{"force", 'f', Flag::kSwitch, "", "kill it first if it runs"},
                 {"volumes", 'v', Flag::kSwitch, "", "delete its anonymous volumes, too"}},
                "darse rm web\ndarse rm -f $(darse ps -aq)\n", {"container rm"}, RunRemove),
      Lifecycle("wait", "wait until containers have ended, print their exit codes",
                {{"condition", 0, Flag::kText, "WHEN", "what to wait for",
                  "not-running|removed|healthy"}},
                "darse wait job\ndarse wait --condition healthy db\n", {"container wait"}, RunWait),
  };
  static const Verb* const kPrune = new Verb{
      .name = "container prune",
      .summary = "delete all containers that do not run",
      .arguments = "",
      .flags = {{"filter", 0, Flag::kTexts, "KEY=VALUE", "only those, as in `darse ps`"}},
      .examples = "darse container prune --filter label=temporary\n",
      .run = RunPrune,
  };
  std::vector<const Verb*> all;
  for (int i = 0; i < 7; ++i) all.push_back(&kVerbs[i]);
  all.push_back(kPrune);
  return all;
}

}  // namespace darse::client
