// volume create, ls, inspect, rm, prune.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/options/key_values.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

Json ToJson(const Volume& volume) {
  Json labels = Json::Object();
  const std::map<std::string, std::string> sorted(volume.labels().begin(), volume.labels().end());
  for (const auto& [key, value] : sorted) labels.Set(key, value);
  Json containers = Json::Array();
  for (const std::string& id : volume.container_ids()) containers.Add(id);
  return Json::Object({
      {"Name", volume.name()},
      {"Driver", "local"},
      {"Scope", "local"},
      {"Mountpoint", volume.mountpoint()},
      {"CreatedAt",
       absl::FormatTime(absl::RFC3339_sec, ToTime(volume.create_time()), absl::UTCTimeZone())},
      {"Labels", labels},
      {"Anonymous", volume.anonymous()},
      {"Containers", containers},
  });
}

absl::StatusOr<int> RunCreate(Session& session, const Arguments& arguments) {
  CreateVolumeRequest request;
  request.set_name(arguments.At(0));
  RealSurroundings around;
  ASSIGN_OR_RETURN(auto labels, LabelsFrom({}, arguments.Texts("label"), around));
  request.mutable_labels()->insert(labels.begin(), labels.end());
  ASSIGN_OR_RETURN(CreateVolumeResponse response, session.Call(runtime::kCreateVolume, request));
  session.Print(response.volume().name() + "\n");
  return kOk;
}

absl::StatusOr<int> RunList(Session& session, const Arguments& arguments) {
  ListVolumesRequest request;
  for (const std::string& label : arguments.Texts("label")) request.add_labels(label);
  std::vector<Json> rows;
  do {
    ASSIGN_OR_RETURN(ListVolumesResponse page, session.Call(runtime::kListVolumes, request));
    for (const Volume& volume : page.volumes()) rows.push_back(ToJson(volume));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.On("quiet")) {
    for (const Json& row : rows) session.Print(row.TextOf("Name") + "\n");
    return kOk;
  }
  ASSIGN_OR_RETURN(
      std::string text,
      Listing(rows, {{"Driver", "DRIVER"}, {"Name", "VOLUME NAME"}}, arguments.Text("format"),
              {"Scope", "Mountpoint", "CreatedAt", "Labels", "Anonymous", "Containers"}));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunInspect(Session& session, const Arguments& arguments) {
  std::vector<Json> values;
  for (const std::string& name : arguments.positional()) {
    GetVolumeRequest request;
    request.set_name(name);
    ASSIGN_OR_RETURN(GetVolumeResponse response, session.Call(runtime::kGetVolume, request));
    values.push_back(ToJson(response.volume()));
  }
  ASSIGN_OR_RETURN(std::string text, Inspection(values, arguments.Text("format")));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunRemove(Session& session, const Arguments& arguments) {
  int code = kOk;
  for (const std::string& name : arguments.positional()) {
    DeleteVolumeRequest request;
    request.set_name(name);
    absl::Status status = session.Call(runtime::kDeleteVolume, request).status();
    if (status.ok()) {
      session.Print(name + "\n");
    } else if (!(arguments.On("force") && absl::IsNotFound(status))) {
      code = session.Report(status);
    }
  }
  return code;
}

absl::StatusOr<int> RunPrune(Session& session, const Arguments& arguments) {
  PruneVolumesRequest request;
  request.set_all(arguments.On("all"));
  ASSIGN_OR_RETURN(PruneVolumesResponse response, session.Call(runtime::kPruneVolumes, request));
  for (const std::string& name : response.deleted_names()) session.Print(name + "\n");
  return kOk;
}

}  // namespace

std::vector<const Verb*> VolumeVerbs() {
  static const Verb* const kVerbs = new Verb[]{
      {.name = "volume create",
       .summary = "make a volume",
       .arguments = "[NAME]",
       .max_arguments = 1,
       .flags = {{"label", 'l', Flag::kTexts, "KEY=VALUE", "label"}},
       .examples = "darse volume create data\n",
       .run = RunCreate},
      {.name = "volume ls",
       .summary = "list volumes",
       .arguments = "",
       .flags = {kFormatFlag,
                 {"label", 'l', Flag::kTexts, "KEY[=VALUE]", "only those with it"},
                 kQuietFlag},
       .examples = "darse volume ls\ndarse volume ls --format '{{.Name}} {{.Mountpoint}}'\n",
       .aliases = {"volume list"},
       .run = RunList},
      {.name = "volume inspect",
       .summary = "show all that is known of volumes",
       .arguments = "VOLUME…",
       .min_arguments = 1,
       .max_arguments = -1,
       .flags = {{"format", 'f', Flag::kText, "FORMAT", kFormatFlag.help}},
       .examples = "darse volume inspect -f '{{.Mountpoint}}' data\n",
       .completes = "@volume",
       .run = RunInspect},
      {.name = "volume rm",
       .summary = "delete volumes and what is in them",
       .arguments = "VOLUME…",
       .min_arguments = 1,
       .max_arguments = -1,
       .flags = {{"force", 'f', Flag::kSwitch, "", "no error if there is none"}},
       .examples = "darse volume rm data\n",
       .completes = "@volume",
       .aliases = {"volume remove"},
       .run = RunRemove},
      {.name = "volume prune",
       .summary = "delete volumes that no container has",
       .arguments = "",
       .flags = {{"all", 'a', Flag::kSwitch, "", "named ones, too"}},
       .examples = "darse volume prune\n",
       .run = RunPrune},
  };
  return {&kVerbs[0], &kVerbs[1], &kVerbs[2], &kVerbs[3], &kVerbs[4]};
}

}  // namespace darse::client
