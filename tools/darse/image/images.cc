// image ls, inspect, history, tag, rm, prune.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/lookup.h"
#include "tools/darse/image/image_rows.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

absl::StatusOr<GetImageResponse> GetImage(Session& session, const std::string& name) {
  GetImageRequest request;
  request.set_image(name);
  return session.Call(runtime::kGetImage, request);
}

// "debian" or "debian:bookworm", as the row shows them.
bool IsNamed(const Json& row, const std::string& name) {
  const std::string repository = row.TextOf("Repository");
  return name.empty() || repository == name ||
         absl::StrCat(repository, ":", row.TextOf("Tag")) == name;
}

absl::StatusOr<int> RunList(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(std::vector<Image> images, ListImages(session));
  const bool truncate = !arguments.On("no-trunc");
  const std::string name = FamiliarReference(arguments.At(0));
  std::vector<Json> rows;
  for (const Image& image : images) {
    for (Json& row : ImageRows(image, truncate, absl::Now())) {
      if (IsNamed(row, name)) rows.push_back(std::move(row));
    }
  }
  if (arguments.On("quiet")) {
    std::set<std::string> printed;
    for (const Json& row : rows) {
      if (printed.insert(row.TextOf("ID")).second) session.Print(row.TextOf("ID") + "\n");
    }
    return kOk;
  }
  ASSIGN_OR_RETURN(std::string text,
                   Listing(rows, ImageColumns(), arguments.Text("format"), MoreImageFields()));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunInspect(Session& session, const Arguments& arguments) {
  std::vector<Json> values;
  for (const std::string& name : arguments.positional()) {
    ASSIGN_OR_RETURN(GetImageResponse response, GetImage(session, name));
    values.push_back(InspectImage(response.image()));
  }
  ASSIGN_OR_RETURN(std::string text, Inspection(values, arguments.Text("format")));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunHistory(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(GetImageResponse response, GetImage(session, arguments.At(0)));
  std::vector<Json> rows = HistoryRows(response, !arguments.On("no-trunc"), absl::Now());
  ASSIGN_OR_RETURN(std::string text,
                   Listing(rows, HistoryColumns(), arguments.Text("format"), {"CreatedAt"}));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunTag(Session& session, const Arguments& arguments) {
  TagImageRequest request;
  request.set_image(arguments.At(0));
  request.set_reference(arguments.At(1));
  RETURN_IF_ERROR(session.Call(runtime::kTagImage, request).status());
  return kOk;
}

absl::StatusOr<int> RunRemove(Session& session, const Arguments& arguments) {
  int code = kOk;
  for (const std::string& name : arguments.positional()) {
    DeleteImageRequest request;
    request.set_image(name);
    request.set_force(arguments.On("force"));
    absl::StatusOr<DeleteImageResponse> response = session.Call(runtime::kDeleteImage, request);
    if (!response.ok()) {
      const int failed = session.Report(response.status());
      if (failed == kServiceMissingCode) return failed;
      if (code == kOk) code = failed;
      continue;
    }
    for (const std::string& reference : response->untagged_references()) {
      session.Print(absl::StrCat("Untagged: ", FamiliarReference(reference), "\n"));
    }
    for (const std::string& id : response->deleted_ids()) {
      session.Print(absl::StrCat("Deleted: ", id, "\n"));
    }
  }
  return code;
}

absl::StatusOr<int> RunPrune(Session& session, const Arguments& arguments) {
  PruneImagesRequest request;
  request.set_all(arguments.On("all"));
  ASSIGN_OR_RETURN(PruneImagesResponse response, session.Call(runtime::kPruneImages, request));
  for (const std::string& id : response.deleted_ids()) {
    session.Print(absl::StrCat("Deleted: ", id, "\n"));
  }
  session.Print(
      absl::StrCat("Total reclaimed space: ", DecimalSize(response.reclaimed_bytes()), "\n"));
  return kOk;
}

}  // namespace

std::vector<const Verb*> ImageVerbs() {
  static const Verb* const kList = new Verb{
      .name = "image ls",
      .summary = "list images",
      .arguments = "[NAME[:TAG]]",
      .max_arguments = 1,
      .flags = {kFormatFlag, kNoTruncFlag, kQuietFlag},
      .examples = "darse images\ndarse images --format '{{.Repository}}:{{.Tag}} {{.Size}}'\n",
      .completes = "@image",
      .aliases = {"images", "image list"},
      .run = RunList,
  };
  static const Verb* const kInspect = new Verb{
      .name = "image inspect",
      .summary = "show all that is known of images",
      .arguments = "IMAGE…",
      .min_arguments = 1,
      .max_arguments = -1,
      .flags = {{"format", 'f', Flag::kText, "FORMAT", kFormatFlag.help}},
      .examples = "darse image inspect web --format '{{.Config.Cmd}}'\n",
      .completes = "@image",
      .run = RunInspect,
  };
  static const Verb* const kHistory = new Verb{
      .name = "image history",
      .summary = "show the steps an image was made by",
      .arguments = "IMAGE",
      .min_arguments = 1,
      .max_arguments = 1,
      .flags = {kFormatFlag, kNoTruncFlag},
      .examples = "darse history --no-trunc web\n",
      .completes = "@image",
      .aliases = {"history"},
      .run = RunHistory,
  };
  static const Verb* const kTag = new Verb{
      .name = "image tag",
      .summary = "give an image one more name",
      .arguments = "IMAGE NAME[:TAG]",
      .min_arguments = 2,
      .max_arguments = 2,
      .examples = "darse tag web web:2024-05-01\n",
      .completes = "@image",
      .aliases = {"tag"},
      .run = RunTag,
  };
  static const Verb* const kRemove = new Verb{
      .name = "image rm",
      .summary = "take names from images, and delete those without a name left",
      .arguments = "IMAGE…",
      .min_arguments = 1,
      .max_arguments = -1,
      .flags = {{"force", 'f', Flag::kSwitch, "",
                 "also while a container that does not run needs it"}},
      .examples = "darse rmi web:old\n",
      .completes = "@image",
      .aliases = {"rmi", "image remove"},
      .run = RunRemove,
  };
  static const Verb* const kPrune = new Verb{
      .name = "image prune",
      .summary = "delete images without a name that nothing needs",
      .arguments = "",
      .flags = {{"all", 'a', Flag::kSwitch, "", "those with a name, too"}},
      .examples = "darse image prune\ndarse image prune -a\n",
      .run = RunPrune,
  };
  return {kList, kInspect, kHistory, kTag, kRemove, kPrune};
}

}  // namespace darse::client
