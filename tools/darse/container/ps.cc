#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/container_rows.h"
#include "tools/darse/container/lookup.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

bool Lives(const Container& container) {
  return container.state() == CONTAINER_STATE_RUNNING ||
         container.state() == CONTAINER_STATE_PAUSED ||
         container.state() == CONTAINER_STATE_RESTARTING;
}

// Commands of images, for the containers that do not say one themselves.
absl::StatusOr<ImageCommands> CommandsFor(Session& session,
                                          const std::vector<Container>& containers) {
  ImageCommands commands;
  const bool needed =
      std::any_of(containers.begin(), containers.end(), [](const Container& container) {
        return !container.spec().has_command() && !container.spec().has_entrypoint();
      });
  if (!needed) return commands;
  ASSIGN_OR_RETURN(std::vector<Image> images, ListImages(session));
  for (const Image& image : images) commands[image.id()] = CommandOf(image);
  return commands;
}

absl::StatusOr<int> Run(Session& session, const Arguments& arguments) {
  std::vector<std::string> filters = arguments.Texts("filter");
  std::string stack = arguments.Text("project", arguments.At(0));
  if (!stack.empty()) filters.push_back(absl::StrCat("stack=", stack));
  ASSIGN_OR_RETURN(ContainerFilter filter, ContainerFilter::Parse(filters));
  const bool newest = arguments.On("latest");
  const int64_t last = newest ? 1 : arguments.Number("last", -1);
  // Of a stack, what does not run is what one wants to see.
  const bool all = arguments.On("all") || last >= 0 || filter.names_states() || !stack.empty();
  ASSIGN_OR_RETURN(std::vector<Container> containers, ListContainers(session));
  std::reverse(containers.begin(), containers.end());
  std::vector<Container> shown;
  for (Container& container : containers) {
    if (!all && !Lives(container)) continue;
    if (!filter.Matches(container)) continue;
    if (last >= 0 && static_cast<int64_t>(shown.size()) >= last) break;
    shown.push_back(std::move(container));
  }
  const bool truncate = !arguments.On("no-trunc");
  if (arguments.On("quiet")) {
    for (const Container& container : shown) {
      session.Print(absl::StrCat(truncate ? ShortId(container.id()) : container.id(), "\n"));
    }
    return kOk;
  }
  ASSIGN_OR_RETURN(ImageCommands commands, CommandsFor(session, shown));
  const absl::Time now = absl::Now();
  std::vector<Json> rows;
  for (const Container& container : shown) {
    rows.push_back(ContainerRow(container, commands, truncate, now));
  }
  ASSIGN_OR_RETURN(std::string text, Listing(rows, ContainerColumns(), arguments.Text("format"),
                                             MoreContainerFields()));
  session.Print(text);
  return kOk;
}

}  // namespace

const Verb& PsVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "ps",
      .summary = "list containers",
      .arguments = "[STACK]",
      .max_arguments = 1,
      .flags =
          {{"all", 'a', Flag::kSwitch, "", "those that do not run, too"},
           {"filter", 'f', Flag::kTexts, "KEY=VALUE",
            "name, id, status, health, stack, service, label, exited, ancestor, volume, network"},
           kFormatFlag,
           {"last", 'n', Flag::kNumber, "NUMBER", "the newest ones, running or not"},
           {"latest", 'l', Flag::kSwitch, "", "the newest one, running or not"},
           kNoTruncFlag,
           {"project", 'p', Flag::kText, "STACK", "those of a stack, running or not", "@stack"},
           kQuietFlag},
      .examples =
          "darse ps -a\n"
          "darse ps journal   # all containers of a stack\n"
          "darse ps --filter status=exited --format '{{.Names}} {{.Status}}'\n"
          "darse ps -q --filter label=role=db\n",
      .completes = "@stack",
      .aliases = {"container ls", "container ps", "container list"},
      .run = Run,
  };
  return *kVerb;
}

}  // namespace darse::client
