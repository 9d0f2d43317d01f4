// events: what happened on this node, and what happens.
#include <stdio.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/template.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

Json ToJson(const Event& event) {
  Json attributes = Json::Object();
  const std::map<std::string, std::string> sorted(event.attributes().begin(),
                                                  event.attributes().end());
  for (const auto& [key, value] : sorted) attributes.Set(key, value);
  const absl::Time time = ToTime(event.time());
  return Json::Object({
      {"Sequence", event.sequence()},
      {"Type", event.kind()},
      {"Action", event.action()},
      {"ID", event.id()},
      {"Actor",
       Json::Object({{"ID", event.id()}, {"Attributes", attributes}, {"By", event.actor()}})},
      {"Time", absl::ToUnixSeconds(time)},
      {"TimeNano", absl::ToUnixNanos(time)},
  });
}

std::string Line(const Event& event) {
  std::vector<std::string> pairs;
  const std::map<std::string, std::string> sorted(event.attributes().begin(),
                                                  event.attributes().end());
  for (const auto& [key, value] : sorted) pairs.push_back(absl::StrCat(key, "=", value));
  return absl::StrCat(
      event.sequence(), "  ",
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3S%Ez", ToTime(event.time()), absl::LocalTimeZone()), "  ",
      event.kind(), " ", event.action(), " ", ShortId(event.id()), " (", absl::StrJoin(pairs, ", "),
      ") by ", event.actor(), "\n");
}

// A number is a sequence; anything else a time, for which all that the log has is read.
struct Since {
  int64_t sequence = 0;
  absl::Time time = absl::InfinitePast();
};

absl::StatusOr<Since> StartOf(Session& session, const Arguments& arguments) {
  Since since;
  const std::string text = arguments.Text("since");
  if (absl::SimpleAtoi(text, &since.sequence)) return since;
  ASSIGN_OR_RETURN(GetEventPositionResponse position, session.Call(runtime::kGetEventPosition, {}));
  if (text.empty()) {
    // As docker: from now on. Without following there would be nothing to see.
    since.sequence = arguments.On("no-follow")
                         ? std::max<int64_t>(0, position.oldest_sequence() - 1)
                         : position.newest_sequence();
    return since;
  }
  ASSIGN_OR_RETURN(since.time, Annotate(ParseMoment(text, absl::Now()), "--since"));
  since.sequence = std::max<int64_t>(0, position.oldest_sequence() - 1);
  return since;
}

absl::StatusOr<int> Run(Session& session, const Arguments& arguments) {
  absl::Time until = absl::InfiniteFuture();
  if (arguments.Has("until")) {
    ASSIGN_OR_RETURN(until, Annotate(ParseMoment(arguments.Text("until"), absl::Now()), "--until"));
  }
  ASSIGN_OR_RETURN(Since since, StartOf(session, arguments));
  const std::string format = arguments.Text("format");
  const bool json = format == "json";
  ASSIGN_OR_RETURN(Template parsed, Template::Parse(json || format == "table" ? "" : format));
  WatchEventsRequest request;
  request.set_after_sequence(since.sequence);
  // What is over already needs no waiting for.
  request.set_follow(!arguments.On("no-follow") && until > absl::Now());
  for (const std::string& kind : arguments.Texts("type")) request.add_kinds(kind);
  ASSIGN_OR_RETURN(auto stream, session.Open(runtime::kWatchEvents, request));
  WatchEventsResponse response;
  while (stream.Read(response)) {
    for (const Event& event : response.events()) {
      if (ToTime(event.time()) < since.time) continue;
      if (ToTime(event.time()) > until) {
        stream.Cancel();
        return kOk;
      }
      if (json) {
        session.Print(ToJson(event).Compact() + "\n");
      } else if (format.empty() || format == "table") {
        session.Print(Line(event));
      } else {
        ASSIGN_OR_RETURN(std::string text, parsed.Render(ToJson(event)));
        session.Print(text + "\n");
      }
    }
    if (!session.Flush()) return kFailed;
  }
  RETURN_IF_ERROR(stream.Finish());
  return kOk;
}

}  // namespace

const Verb& EventsVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "events",
      .summary = "show what happens on this node, and what happened",
      .arguments = "",
      .flags = {{"since", 0, Flag::kText, "SEQUENCE|TIME", "from there; from now on if left out"},
                {"until", 0, Flag::kText, "TIME", "end there"},
                {"no-follow", 0, Flag::kSwitch, "", "end at the newest event"},
                {"type", 0, Flag::kTexts, "KIND", "only these", "container|image|volume|network"},
                kFormatFlag},
      .examples =
          "darse events\n"
          "darse events --since 1200 --no-follow   # all after event 1200\n"
          "darse events --since 10m --type container --format '{{.Action}} {{.ID}}'\n",
      .aliases = {"system events"},
      .run = Run,
  };
  return *kVerb;
}

}  // namespace darse::client
