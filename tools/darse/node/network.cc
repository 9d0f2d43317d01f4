// network create, ls, inspect, rm, prune.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/options/key_values.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

Json ToJson(const Network& network) {
  Json labels = Json::Object();
  const std::map<std::string, std::string> sorted(network.labels().begin(), network.labels().end());
  for (const auto& [key, value] : sorted) labels.Set(key, value);
  Json containers = Json::Array();
  for (const std::string& id : network.container_ids()) containers.Add(id);
  return Json::Object({
      {"Id", network.id()},
      {"ID", ShortId(network.id())},
      {"Name", network.name()},
      {"Driver", "bridge"},
      {"Scope", "local"},
      {"Internal", network.internal()},
      {"Subnet", network.subnet()},
      {"Gateway", network.gateway()},
      {"Interface", network.interface()},
      {"CreatedAt",
       absl::FormatTime(absl::RFC3339_sec, ToTime(network.create_time()), absl::UTCTimeZone())},
      {"Labels", labels},
      {"Containers", containers},
  });
}

absl::StatusOr<int> RunCreate(Session& session, const Arguments& arguments) {
  CreateNetworkRequest request;
  request.set_name(arguments.At(0));
  RealSurroundings around;
  ASSIGN_OR_RETURN(auto labels, LabelsFrom({}, arguments.Texts("label"), around));
  request.mutable_labels()->insert(labels.begin(), labels.end());
  request.set_subnet(arguments.Text("subnet"));
  request.set_internal(arguments.On("internal"));
  ASSIGN_OR_RETURN(CreateNetworkResponse response, session.Call(runtime::kCreateNetwork, request));
  session.Print(response.network().id() + "\n");
  return kOk;
}

absl::StatusOr<int> RunList(Session& session, const Arguments& arguments) {
  ListNetworksRequest request;
  for (const std::string& label : arguments.Texts("label")) request.add_labels(label);
  std::vector<Json> rows;
  do {
    ASSIGN_OR_RETURN(ListNetworksResponse page, session.Call(runtime::kListNetworks, request));
    for (const Network& network : page.networks()) rows.push_back(ToJson(network));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.On("quiet")) {
    for (const Json& row : rows) session.Print(row.TextOf("ID") + "\n");
    return kOk;
  }
  ASSIGN_OR_RETURN(std::string text, Listing(rows,
                                             {{"ID", "NETWORK ID"},
                                              {"Name", "NAME"},
                                              {"Driver", "DRIVER"},
                                              {"Scope", "SCOPE"},
                                              {"Subnet", "SUBNET"}},
                                             arguments.Text("format"),
                                             {"Id", "Internal", "Gateway", "Interface", "CreatedAt",
                                              "Labels", "Containers"}));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunInspect(Session& session, const Arguments& arguments) {
  std::vector<Json> values;
  for (const std::string& name : arguments.positional()) {
    GetNetworkRequest request;
    request.set_network(name);
    ASSIGN_OR_RETURN(GetNetworkResponse response, session.Call(runtime::kGetNetwork, request));
    values.push_back(ToJson(response.network()));
  }
  ASSIGN_OR_RETURN(std::string text, Inspection(values, arguments.Text("format")));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunRemove(Session& session, const Arguments& arguments) {
  int code = kOk;
  for (const std::string& name : arguments.positional()) {
    DeleteNetworkRequest request;
    request.set_network(name);
    absl::Status status = session.Call(runtime::kDeleteNetwork, request).status();
    if (status.ok()) {
      session.Print(name + "\n");
    } else if (!(arguments.On("force") && absl::IsNotFound(status))) {
      code = session.Report(status);
    }
  }
  return code;
}

absl::StatusOr<int> RunPrune(Session& session, const Arguments&) {
  ASSIGN_OR_RETURN(PruneNetworksResponse response, session.Call(runtime::kPruneNetworks, {}));
  for (const std::string& name : response.deleted_names()) session.Print(name + "\n");
  return kOk;
}

}  // namespace

std::vector<const Verb*> NetworkVerbs() {
  static const Verb* const kVerbs = new Verb[]{
      {.name = "network create",
       .summary = "make a bridge network",
       .arguments = "NAME",
       .min_arguments = 1,
       .max_arguments = 1,
       .flags = {{"internal", 0, Flag::kSwitch, "", "no way out, and in only from its containers"},
                 {"label", 'l', Flag::kTexts, "KEY=VALUE", "label"},
                 {"subnet", 0, Flag::kText, "CIDR", "addresses; the next free ones if left out"}},
       .examples = "darse network create back\ndarse network create --subnet 10.200.7.0/24 lab\n",
       .run = RunCreate},
      {.name = "network ls",
       .summary = "list networks",
       .arguments = "",
       .flags = {kFormatFlag,
                 {"label", 'l', Flag::kTexts, "KEY[=VALUE]", "only those with it"},
                 kQuietFlag},
       .examples = "darse network ls\ndarse network ls --format '{{.Name}} {{.Subnet}}'\n",
       .aliases = {"network list"},
       .run = RunList},
      {.name = "network inspect",
       .summary = "show all that is known of networks",
       .arguments = "NETWORK…",
       .min_arguments = 1,
       .max_arguments = -1,
       .flags = {{"format", 'f', Flag::kText, "FORMAT", kFormatFlag.help}},
       .examples = "darse network inspect back\n",
       .completes = "@network",
       .run = RunInspect},
      {.name = "network rm",
       .summary = "delete networks",
       .arguments = "NETWORK…",
       .min_arguments = 1,
       .max_arguments = -1,
       .flags = {{"force", 'f', Flag::kSwitch, "", "no error if there is none"}},
       .examples = "darse network rm back\n",
       .completes = "@network",
       .aliases = {"network remove"},
       .run = RunRemove},
      {.name = "network prune",
       .summary = "delete networks without containers",
       .arguments = "",
       .examples = "darse network prune\n",
       .run = RunPrune},
  };
  return {&kVerbs[0], &kVerbs[1], &kVerbs[2], &kVerbs[3], &kVerbs[4]};
}

}  // namespace darse::client
