// version, info, df, completion.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/cli/usage.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/session/version.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

absl::StatusOr<int> RunVersion(Session& session, const Arguments& arguments) {
  // Without the runtime the client still knows its own version.
  absl::StatusOr<GetNodeResponse> node = session.Call(runtime::kGetNode, {}, absl::Seconds(3));
  const std::string format = arguments.Text("format");
  Json row =
      Json::Object({{"Client", kVersion}, {"Runtime", node.ok() ? Json(node->version()) : Json()}});
  if (!format.empty() && format != "table") {
    ASSIGN_OR_RETURN(std::string text, Listing({row}, {}, format));
    session.Print(text);
  } else {
    session.Print(
        Table({{"client", kVersion}, {"runtime", node.ok() ? node->version() : "missing"}}));
  }
  return node.ok() ? kOk : session.Report(node.status());
}

absl::StatusOr<int> RunInfo(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(GetNodeResponse node, session.Call(runtime::kGetNode, {}, absl::Seconds(10)));
  Json warnings = Json::Array();
  for (const std::string& warning : node.warnings()) warnings.Add(warning);
  Json info = Json::Object({
      {"ID", node.node_id()},
      {"Name", node.hostname()},
      {"ServerVersion", node.version()},
      {"StartedAt",
       absl::FormatTime(absl::RFC3339_sec, ToTime(node.start_time()), absl::UTCTimeZone())},
      {"OperatingSystem", node.operating_system()},
      {"KernelVersion", node.kernel_version()},
      {"NCPU", node.cpu_count()},
      {"MemTotal", node.memory_bytes()},
      {"CgroupVersion", node.cgroup_mode()},
      {"DataRoot", node.data_root()},
      {"Containers", node.containers_total()},
      {"ContainersRunning", node.containers_running()},
      {"Images", node.images()},
      {"Warnings", warnings},
  });
  const std::string format = arguments.Text("format");
  if (format == "json") {
    session.Print(info.Compact() + "\n");
  } else if (!format.empty() && format != "table") {
    ASSIGN_OR_RETURN(std::string text, Listing({info}, {}, format));
    session.Print(text);
  } else {
    std::vector<std::vector<std::string>> lines;
    for (const Json::Member& member : info.members()) {
      if (member.first == "Warnings") continue;
      lines.push_back({member.first, member.first == "MemTotal" ? BinarySize(node.memory_bytes())
                                                                : member.second.Plain()});
    }
    session.Print(Table(lines));
    for (const std::string& warning : node.warnings()) {
      session.Print(absl::StrCat("warning: ", warning, "\n"));
    }
  }
  return kOk;
}

absl::StatusOr<int> RunDiskUsage(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(GetDiskUsageResponse usage, session.Call(runtime::kGetDiskUsage, {}));
  const std::pair<const char*, int64_t> kinds[] = {
      {"Image layers", usage.image_layer_bytes()},
      {"Image blobs", usage.blob_bytes()},
      {"Containers", usage.container_bytes()},
      {"Volumes", usage.volume_bytes()},
      {"Logs", usage.log_bytes()},
  };
  std::vector<Json> rows;
  int64_t total = 0;
  for (const auto& [kind, bytes] : kinds) {
    rows.push_back(Json::Object({{"Type", kind}, {"Size", DecimalSize(bytes)}, {"Bytes", bytes}}));
    total += bytes;
  }
  const std::string format = arguments.Text("format");
  if (format.empty() || format == "table") {
    rows.push_back(
        Json::Object({{"Type", "Total"}, {"Size", DecimalSize(total)}, {"Bytes", total}}));
  }
  ASSIGN_OR_RETURN(std::string text, Listing(rows, {{"Type", "TYPE"}, {"Size", "SIZE"}}, format));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunCompletion(Session& session, const Arguments&) {
  session.Print(BashCompletion(session.verbs()));
  return kOk;
}

}  // namespace

std::vector<const Verb*> NodeVerbs() {
  static const Verb* const kVersionVerb = new Verb{
      .name = "version",
      .summary = "show the client's and the runtime's version",
      .arguments = "",
      .flags = {kFormatFlag},
      .examples = "darse version\n",
      .run = RunVersion,
  };
  static const Verb* const kInfo = new Verb{
      .name = "info",
      .summary = "show what this machine is and cannot do",
      .arguments = "",
      .flags = {kFormatFlag},
      .examples = "darse info\ndarse info --format '{{.KernelVersion}}'\n",
      .run = RunInfo,
  };
  static const Verb* const kDiskUsage = new Verb{
      .name = "df",
      .summary = "show what images, containers, volumes and logs take on disk",
      .arguments = "",
      .flags = {kFormatFlag},
      .examples = "darse df\n",
      .aliases = {"system df"},
      .run = RunDiskUsage,
  };
  static const Verb* const kCompletion = new Verb{
      .name = "completion",
      .summary = "print the completion script for a shell",
      .arguments = "bash",
      .min_arguments = 1,
      .max_arguments = 1,
      .examples = "source <(darse completion bash)\n",
      .completes = "bash",
      .run = [](Session& session, const Arguments& arguments) -> absl::StatusOr<int> {
        if (arguments.At(0) != "bash") {
          return UsageError(absl::StrCat("there is a completion for bash only, not for \"",
                                         arguments.At(0), "\""));
        }
        return RunCompletion(session, arguments);
      },
  };
  return {kVersionVerb, kInfo, kDiskUsage, kCompletion};
}

}  // namespace darse::client
