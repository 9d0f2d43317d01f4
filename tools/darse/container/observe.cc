// inspect, port, update, stats, and the processes of `top CONTAINER`.
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/container_rows.h"
#include "tools/darse/container/inspection.h"
#include "tools/darse/container/processes.h"
#include "tools/darse/image/image_rows.h"
#include "tools/darse/options/container_spec.h"
#include "tools/darse/options/port_option.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

absl::StatusOr<GetContainerResponse> GetContainer(Session& session, const std::string& name) {
  GetContainerRequest request;
  request.set_container(name);
  return session.Call(runtime::kGetContainer, request);
}

absl::StatusOr<Json> InspectAny(Session& session, const std::string& name,
                                const std::string& type) {
  absl::Status none;
  if (type != "image") {
    absl::StatusOr<GetContainerResponse> found = GetContainer(session, name);
    if (found.ok()) return InspectContainer(found->container(), found->oci_config_json());
    if (!absl::IsNotFound(found.status()) || type == "container") return found.status();
    none = found.status();
  }
  GetImageRequest request;
  request.set_image(name);
  absl::StatusOr<GetImageResponse> image = session.Call(runtime::kGetImage, request);
  if (image.ok()) return InspectImage(image->image());
  if (!absl::IsNotFound(image.status()) || type == "image") return image.status();
  return absl::NotFoundError(
      absl::StrCat("there is neither a container nor an image \"", name, "\""));
}

absl::StatusOr<int> RunInspect(Session& session, const Arguments& arguments) {
  std::vector<Json> values;
  for (const std::string& name : arguments.positional()) {
    ASSIGN_OR_RETURN(Json value, InspectAny(session, name, arguments.Text("type")));
    values.push_back(std::move(value));
  }
  ASSIGN_OR_RETURN(std::string text, Inspection(values, arguments.Text("format")));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunPort(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(GetContainerResponse found, GetContainer(session, arguments.At(0)));
  std::string wanted = arguments.At(1);
  if (!wanted.empty() && !absl::StrContains(wanted, "/")) wanted += "/tcp";
  bool any = false;
  for (const PortMapping& port : found.container().ports()) {
    const std::string inside = absl::StrCat(port.container_port(), "/", port.protocol());
    const std::string shown = PortText(port);
    const std::string outside = shown.substr(0, shown.find("->"));
    if (!wanted.empty() && inside != wanted) continue;
    session.Print(wanted.empty() ? absl::StrCat(inside, " -> ", outside, "\n") : outside + "\n");
    any = true;
  }
  if (any || wanted.empty()) return kOk;
  return absl::NotFoundError(
      absl::StrCat("container ", arguments.At(0), " publishes no port ", wanted));
}

absl::StatusOr<int> RunUpdate(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Resources resources, ReadResources(arguments));
  UpdateContainerRequest request;
  if (AsksForRestarts(arguments)) {
    ASSIGN_OR_RETURN(*request.mutable_restart_policy(), ReadRestartPolicy(arguments));
  }
  bool any = false;
  for (const Flag& flag : LimitFlags()) any = any || arguments.Has(flag.name);
  if (!any) return UsageError("`darse update` needs a limit to change, such as -m 512m");
  for (const std::string& name : arguments.positional()) {
    ASSIGN_OR_RETURN(GetContainerResponse found, GetContainer(session, name));
    // The runtime replaces the message as a whole: start from what there is.
    Resources merged = found.container().spec().resources();
    if (arguments.Has("memory")) merged.set_memory_limit_bytes(resources.memory_limit_bytes());
    if (arguments.Has("memory-swap")) {
      merged.set_memory_swap_limit_bytes(resources.memory_swap_limit_bytes());
    }
    if (arguments.Has("memory-reservation")) {
      merged.set_memory_reservation_bytes(resources.memory_reservation_bytes());
    }
    if (arguments.Has("cpus")) merged.set_nano_cpus(resources.nano_cpus());
    if (arguments.Has("cpu-shares")) merged.set_cpu_shares(resources.cpu_shares());
    if (arguments.Has("cpuset-cpus")) merged.set_cpuset_cpus(resources.cpuset_cpus());
    if (arguments.Has("pids-limit")) merged.set_pids_limit(resources.pids_limit());
    *request.mutable_resources() = merged;
    request.set_container(found.container().id());
    RETURN_IF_ERROR(session.Call(runtime::kUpdateContainer, request).status());
    session.Print(absl::StrCat(name, "\n"));
  }
  return kOk;
}

double CpuPercent(const ContainerStats& before, const ContainerStats& after) {
  const double wall = absl::ToDoubleSeconds(ToTime(after.time()) - ToTime(before.time()));
  const double cpu =
      absl::ToDoubleSeconds(ToDuration(after.cpu_time()) - ToDuration(before.cpu_time()));
  return wall <= 0 ? 0 : std::max(0.0, 100 * cpu / wall);
}

Json StatsRow(const ContainerStats& stats, double cpu_percent, bool truncate) {
  const double limit = static_cast<double>(stats.memory_limit_bytes());
  const double used = static_cast<double>(stats.memory_working_set_bytes());
  return Json::Object({
      {"ID", truncate ? ShortId(stats.container_id()) : stats.container_id()},
      {"Name", stats.name()},
      {"CPUPerc", absl::StrFormat("%.2f%%", cpu_percent)},
      {"MemUsage", absl::StrCat(BinarySize(stats.memory_working_set_bytes()), " / ",
                                limit > 0 ? BinarySize(stats.memory_limit_bytes()) : "-")},
      {"MemPerc", limit > 0 ? absl::StrFormat("%.2f%%", 100 * used / limit) : "--"},
      {"NetIO", absl::StrCat(DecimalSize(stats.network_receive_bytes()), " / ",
                             DecimalSize(stats.network_transmit_bytes()))},
      {"BlockIO", absl::StrCat(DecimalSize(stats.block_read_bytes()), " / ",
                               DecimalSize(stats.block_write_bytes()))},
      {"PIDs", stats.pids()},
  });
}

const std::vector<Column>& StatsColumns() {
  static const auto* const kColumns =
      new std::vector<Column>{{"ID", "CONTAINER ID"},   {"Name", "NAME"},
                              {"CPUPerc", "CPU %"},     {"MemUsage", "MEM USAGE / LIMIT"},
                              {"MemPerc", "MEM %"},     {"NetIO", "NET I/O"},
                              {"BlockIO", "BLOCK I/O"}, {"PIDs", "PIDS"}};
  return *kColumns;
}

absl::StatusOr<int> RunStats(Session& session, const Arguments& arguments) {
  GetStatsRequest request;
  for (const std::string& name : arguments.positional()) request.add_containers(name);
  const bool once = arguments.On("no-stream") || !session.output_is_terminal();
  std::map<std::string, ContainerStats> before;
  // Two readings make a percentage.
  absl::Duration pause = absl::Milliseconds(once ? 500 : 1000);
  for (bool first = true;; first = false) {
    ASSIGN_OR_RETURN(GetStatsResponse response, session.Call(runtime::kGetStats, request));
    if (!first) {
      std::vector<Json> rows;
      for (const ContainerStats& stats : response.stats()) {
        auto old = before.find(stats.container_id());
        const double cpu = old == before.end() ? 0 : CpuPercent(old->second, stats);
        rows.push_back(StatsRow(stats, cpu, !arguments.On("no-trunc")));
      }
      ASSIGN_OR_RETURN(std::string text, Listing(rows, StatsColumns(), arguments.Text("format")));
      // Drawn over the frame before, what is left of it is erased.
      if (!once) text = absl::StrCat("\x1b[H\x1b[J", text);
      session.Print(text);
      if (!session.Flush()) return kFailed;
      if (once) return kOk;
    }
    before.clear();
    for (const ContainerStats& stats : response.stats()) before[stats.container_id()] = stats;
    absl::SleepFor(pause);
  }
}

}  // namespace

absl::StatusOr<int> ShowProcesses(Session& session, const std::string& container,
                                  const std::string& format) {
  ListProcessesRequest request;
  request.set_container(container);
  ASSIGN_OR_RETURN(ListProcessesResponse response, session.Call(runtime::kListProcesses, request));
  std::vector<Json> rows;
  for (const auto& process : response.processes()) {
    rows.push_back(Json::Object({
        {"UID", int64_t{process.uid()}},
        {"PID", process.pid()},
        {"PPID", process.parent_pid()},
        {"RSS", BinarySize(process.resident_bytes())},
        {"Started", ClockTime(ToTime(process.start_time()), absl::Now())},
        {"Time",
         absl::FormatDuration(absl::Trunc(ToDuration(process.cpu_time()), absl::Milliseconds(10)))},
        {"Command", process.command()},
    }));
  }
  ASSIGN_OR_RETURN(std::string text, Listing(rows,
                                             {{"UID", "UID"},
                                              {"PID", "PID"},
                                              {"PPID", "PPID"},
                                              {"RSS", "RSS"},
                                              {"Started", "START"},
                                              {"Time", "TIME"},
                                              {"Command", "CMD"}},
                                             format));
  session.Print(text);
  return kOk;
}

std::vector<const Verb*> ObserveVerbs() {
  static const Verb* const kInspect = new Verb{
      .name = "inspect",
      .summary = "show all that is known of containers or images",
      .arguments = "NAME…",
      .min_arguments = 1,
      .max_arguments = -1,
      .flags = {{"format", 'f', Flag::kText, "FORMAT", kFormatFlag.help},
                {"type", 0, Flag::kText, "TYPE", "only of this type", "container|image"}},
      .examples =
          "darse inspect web\n"
          "darse inspect -f '{{.State.Pid}}' web\n"
          "darse inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web\n",
      .completes = "@container",
      .aliases = {"container inspect"},
      .run = RunInspect,
  };
  static const Verb* const kPort = new Verb{
      .name = "port",
      .summary = "show the published ports of a container",
      .arguments = "CONTAINER [PORT[/udp]]",
      .min_arguments = 1,
      .max_arguments = 2,
      .examples = "darse port web\ndarse port web 80\n",
      .completes = "@container",
      .aliases = {"container port"},
      .run = RunPort,
  };
  static const Verb* const kUpdate = new Verb{
      .name = "update",
      .summary = "change limits and restart policy of containers, also while they run",
      .arguments = "CONTAINER…",
      .min_arguments = 1,
      .max_arguments = -1,
      .flags = LimitFlags(),
      .examples =
          "darse update -m 512m --cpus 0.5 web\ndarse update --restart unless-stopped web\n",
      .completes = "@container",
      .aliases = {"container update"},
      .run = RunUpdate,
  };
  static const Verb* const kStats = new Verb{
      .name = "stats",
      .summary = "show what containers use, read from the kernel now",
      .arguments = "[CONTAINER…]",
      .max_arguments = -1,
      .flags = {kFormatFlag,
                {"no-stream", 0, Flag::kSwitch, "", "one frame, then end (always so in a pipe)"},
                kNoTruncFlag},
      .examples = "darse stats\ndarse stats --no-stream --format '{{.Name}} {{.CPUPerc}}' web\n",
      .completes = "@container",
      .aliases = {"container stats"},
      .run = RunStats,
  };
  return {kInspect, kPort, kUpdate, kStats};
}

}  // namespace darse::client
