// stacks, plan, config, restart, logs.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/follow_logs.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/scheduler_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/stack/project.h"
#include "tools/darse/stack/stack_text.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::scheduler::v1;  // NOLINT: message names only
using darse::runtime::v1::Container;
using darse::runtime::v1::GetContainerRequest;
using darse::runtime::v1::ReadLogsRequest;
using darse::runtime::v1::RestartContainerRequest;

absl::StatusOr<int> RunStacks(Session& session, const Arguments& arguments) {
  ListStacksRequest request;
  std::vector<Json> rows;
  do {
    ASSIGN_OR_RETURN(ListStacksResponse page, session.Call(scheduler::kListStacks, request));
    for (const Stack& stack : page.stacks()) rows.push_back(StackRow(stack, absl::Now()));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.On("quiet")) {
    for (const Json& row : rows) session.Print(row.TextOf("Name") + "\n");
    return kOk;
  }
  ASSIGN_OR_RETURN(std::string text,
                   Listing(rows, StackColumns(), arguments.Text("format"),
                           {"Services", "Revision", "WorkingDir", "ConfigFiles"}));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunPlan(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(compose::Project project, LoadProject(session, arguments));
  RETURN_IF_ERROR(PrepareBuilds(session, project, Contexts::kDigest));
  PlanStackRequest request;
  *request.mutable_spec() = project.stack;
  request.set_remove_orphans(arguments.On("remove-orphans"));
  request.set_force_recreate(arguments.On("force-recreate"));
  ASSIGN_OR_RETURN(PlanStackResponse response, session.Call(scheduler::kPlanStack, request));
  int steps = 0;
  for (const PlanStep& step : response.steps()) {
    const bool keep = step.action() == PlanStep::NONE;
    steps += !keep;
    if (arguments.Text("format") == "json") {
      session.Print(Json::Object({{"Action", PlanStep::Action_Name(step.action())},
                                  {"Subject", step.subject()},
                                  {"Name", step.name()},
                                  {"Reason", step.reason()}})
                        .Compact() +
                    "\n");
    } else if (!keep || arguments.On("all")) {
      session.Print(StepText(step) + "\n");
    }
  }
  if (steps == 0 && arguments.Text("format") != "json") session.Print("nothing to do\n");
  return kOk;
}

absl::StatusOr<int> RunConfig(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(compose::Project project,
                   LoadProject(session, arguments, arguments.positional()));
  if (arguments.On("quiet")) return kOk;
  if (arguments.On("services")) {
    for (const ServiceSpec& service : project.stack.services())
      session.Print(service.name() + "\n");
    return kOk;
  }
  if (arguments.On("images")) {
    std::set<std::string> images;
    for (const ServiceSpec& service : project.stack.services())
      images.insert(service.container().image());
    for (const std::string& image : images) session.Print(image + "\n");
    return kOk;
  }
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  auto printed = google::protobuf::util::MessageToJsonString(project.stack, &text, options);
  if (!printed.ok()) return absl::InternalError(std::string(printed.message()));
  session.Print(text);
  return kOk;
}

// Which words name containers and which services of a stack.
struct Chosen {
  std::vector<std::string> containers;
  // With -p, -f, or where a word is no container but a compose file is here.
  std::optional<std::string> stack;
  std::vector<std::string> services;
};

absl::StatusOr<Chosen> Choose(Session& session, const Arguments& arguments) {
  Chosen chosen;
  const bool names_stack = arguments.Has("project-name") || arguments.Has("file");
  if (!names_stack) {
    for (const std::string& name : arguments.positional()) {
      GetContainerRequest request;
      request.set_container(name);
      absl::Status found = session.Call(runtime::kGetContainer, request).status();
      if (found.ok()) {
        chosen.containers.push_back(name);
      } else if (absl::IsNotFound(found)) {
        chosen.services.push_back(name);
      } else {
        return found;
      }
    }
    if (!chosen.containers.empty() && chosen.services.empty()) return chosen;
  } else {
    chosen.services = arguments.positional();
  }
  ASSIGN_OR_RETURN(chosen.stack, StackName(session, arguments));
  if (!chosen.stack && chosen.services.empty())
    return RequireStackName(session, arguments).status();
  if (!chosen.stack) {
    return absl::NotFoundError(
        absl::StrCat("no container \"", chosen.services[0],
                     "\", and no compose file here that could have a service of "
                     "that name; `darse ps -a` lists containers"));
  }
  return chosen;
}

absl::StatusOr<int> RunRestart(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Chosen chosen, Choose(session, arguments));
  for (const std::string& name : chosen.containers) {
    RestartContainerRequest request;
    request.set_container(name);
    if (arguments.Has("time")) {
      ASSIGN_OR_RETURN(absl::Duration timeout,
                       Annotate(ParseDuration(arguments.Text("time")), "--time"));
      *request.mutable_timeout() = ToProto(timeout);
    }
    RETURN_IF_ERROR(session.Call(runtime::kRestartContainer, request).status());
    session.Print(name + "\n");
  }
  if (!chosen.stack) return kOk;
  if (arguments.Has("time")) {
    return UsageError("--time is for containers; a stack's services have stop_grace_period");
  }
  RestartStackRequest request;
  request.set_name(*chosen.stack);
  for (const std::string& service : chosen.services) request.add_services(service);
  RETURN_IF_ERROR(session.Call(scheduler::kRestartStack, request).status());
  WatchStackRequest watch;
  watch.set_name(*chosen.stack);
  watch.set_until_settled(true);
  ASSIGN_OR_RETURN(auto stream, session.Open(scheduler::kWatchStack, watch));
  WatchStackResponse response;
  Stack last;
  while (stream.Read(response)) {
    for (const std::string& line : response.progress()) session.Print(line + "\n");
    session.Flush();
    last = response.stack();
  }
  RETURN_IF_ERROR(stream.Finish());
  if (last.state() == STACK_STATE_FAILED) return absl::UnknownError(last.message());
  return kOk;
}

absl::StatusOr<ReadLogsRequest> LogsRequest(const Arguments& arguments) {
  ReadLogsRequest request;
  request.set_follow(arguments.On("follow"));
  request.set_tail(-1);
  const std::string tail = arguments.Text("tail", "all");
  int64_t lines = -1;
  if (tail != "all" && (!absl::SimpleAtoi(tail, &lines) || lines < 0)) {
    return UsageError(absl::StrCat("--tail takes a number of lines or all, not \"", tail, "\""));
  }
  request.set_tail(lines);
  if (arguments.Has("since")) {
    ASSIGN_OR_RETURN(absl::Time since,
                     Annotate(ParseMoment(arguments.Text("since"), absl::Now()), "--since"));
    *request.mutable_since() = ToProto(since);
  }
  if (arguments.Has("until")) {
    ASSIGN_OR_RETURN(absl::Time until,
                     Annotate(ParseMoment(arguments.Text("until"), absl::Now()), "--until"));
    *request.mutable_until() = ToProto(until);
  }
  return request;
}

absl::StatusOr<int> RunLogs(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(ReadLogsRequest request, LogsRequest(arguments));
  ASSIGN_OR_RETURN(Chosen chosen, Choose(session, arguments));
  std::vector<LogSource> sources;
  const bool timestamps = arguments.On("timestamps");
  for (const std::string& name : chosen.containers) {
    sources.push_back({name, {.timestamps = timestamps, .name = name}});
  }
  if (chosen.stack) {
    ASSIGN_OR_RETURN(std::vector<Container> containers,
                     ContainersOf(session, *chosen.stack, chosen.services));
    for (const Container& container : containers) {
      // "journal-web-1" of stack journal is "web-1".
      std::string name = container.name();
      if (name.rfind(*chosen.stack + "-", 0) == 0) name = name.substr(chosen.stack->size() + 1);
      sources.push_back({container.id(), {.timestamps = timestamps, .name = name}});
    }
  }
  // One container alone is shown as it is, as `docker logs` does.
  const bool prefix = !arguments.On("no-log-prefix") && (chosen.stack || sources.size() > 1);
  size_t width = 0;
  for (const LogSource& source : sources) width = std::max(width, source.format.name.size());
  static constexpr int kColors[] = {36, 33, 32, 35, 34, 96, 93, 92, 95, 94};
  const bool colors = session.output_is_terminal() && !arguments.On("no-color");
  for (size_t i = 0; i < sources.size(); ++i) {
    sources[i].format.name_width = width;
    if (colors) sources[i].format.color = kColors[i % std::size(kColors)];
    if (!prefix) sources[i].format.name.clear();
  }
  return ShowLogs(session, sources, request);
}

}  // namespace

std::vector<const Verb*> StackVerbs() {
  static const Verb* const kStacks = new Verb{
      .name = "stacks",
      .summary = "list stacks",
      .arguments = "",
      .flags = {kFormatFlag, kQuietFlag},
      .examples = "darse stacks\ndarse stacks --format '{{.Name}} {{.State}} {{.Message}}'\n",
      .aliases = {"stack ls"},
      .run = RunStacks,
  };
  static const Verb* const kPlan = new Verb{
      .name = "plan",
      .summary = "show what `up` would do, and why, without doing it",
      .arguments = "",
      .flags = WithProjectFlags(
          {{"all", 'a', Flag::kSwitch, "", "what stays as it is, too"},
           {"force-recreate", 0, Flag::kSwitch, "", "as if given to up"},
           {"format", 0, Flag::kText, "FORMAT", "one JSON object a step", "json|table"},
           {"remove-orphans", 0, Flag::kSwitch, "", "as if given to up"}}),
      .examples = "darse plan\ndarse plan -p blue --env-file blue.env\n",
      .run = RunPlan,
  };
  static const Verb* const kConfig = new Verb{
      .name = "config",
      .summary = "check the compose file and show it resolved, as JSON",
      .arguments = "[SERVICE…]",
      .max_arguments = -1,
      .flags = WithProjectFlags({{"images", 0, Flag::kSwitch, "", "names of the images only"},
                                 {"quiet", 'q', Flag::kSwitch, "", "only check"},
                                 {"services", 0, Flag::kSwitch, "", "names of the services only"}}),
      .examples = "darse config -q && echo good\ndarse config --services\n",
      .run = RunConfig,
  };
  static const Verb* const kRestart = new Verb{
      .name = "restart",
      .summary = "stop and start containers, or services of a stack in dependency order",
      .arguments = "[CONTAINER|SERVICE…]",
      .max_arguments = -1,
      .flags =
          WithProjectFlags({{"time", 't', Flag::kText, "SECONDS", "wait so long before SIGKILL"}}),
      .examples = "darse restart web\ndarse restart -p journal\ndarse restart -p journal archive\n",
      .text =
          "A word is a container's name; with -p or -f, or where there is no such container, a "
          "service\nof the stack. Without words: the whole stack.",
      .completes = "@container",
      .aliases = {"container restart"},
      .run = RunRestart,
  };
  static const Verb* const kLogs = new Verb{
      .name = "logs",
      .summary = "show what containers, or the services of a stack, wrote",
      .arguments = "[CONTAINER|SERVICE…]",
      .max_arguments = -1,
      // -f follows, as everywhere in docker; a compose file is --file here.
      .flags = {{"follow", 'f', Flag::kSwitch, "", "go on with what comes"},
                {"tail", 'n', Flag::kText, "LINES", "the newest lines only (all)"},
                {"since", 0, Flag::kText, "TIME", "from there: 10m, 2024-05-01T12:00:00Z"},
                {"until", 0, Flag::kText, "TIME", "up to there"},
                {"timestamps", 't', Flag::kSwitch, "", "with the time of each line"},
                {"no-color", 0, Flag::kSwitch, "", "names without colour"},
                {"no-log-prefix", 0, Flag::kSwitch, "", "lines without names"},
                {"file", 0, Flag::kTexts, "FILE", "compose file", "@file"},
                {"project-name", 'p', Flag::kText, "NAME", "name of the stack", "@stack"},
                {"env-file", 0, Flag::kTexts, "FILE", "variables for the compose file", "@file"},
                {"profile", 0, Flag::kTexts, "NAME", "services of this profile, too"},
                {"project-directory", 0, Flag::kText, "DIR", "what relative paths start from",
                 "@file"}},
      .examples =
          "darse logs -f web\n"
          "darse logs -p journal --tail 20 archive\n"
          "darse logs --since 10m -t web\n",
      .text =
          "A word is a container's name; with -p or --file, or where there is no such container, a "
          "service of\nthe stack. Without words: the whole stack of the compose file here.",
      .completes = "@container",
      .aliases = {"container logs"},
      .run = RunLogs,
  };
  return {kStacks, kPlan, kConfig, kRestart, kLogs};
}

}  // namespace darse::client
