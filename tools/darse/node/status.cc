// Every service: up since when, or missing since when, what goes on without it, what waits.
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/metrics_methods.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/scheduler_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

struct ServiceStatus {
  Service service;
  bool up = false;
  std::string why;
  // Of a service that is up: since then. Otherwise see `absence`.
  std::optional<absl::Time> up_since;
  Absence absence;
  // What other services say waits for it.
  std::vector<std::string> waiting;
  // Of the metrics: where /metrics is served, empty if nowhere.
  std::string http_address;
};

std::optional<absl::Time> ChangeTime(const std::string& path) {
  struct stat found;
  if (stat(path.c_str(), &found) != 0) return std::nullopt;
  return absl::TimeFromTimespec(found.st_mtim);
}

std::vector<ServiceStatus> AskAll(Session& session) {
  std::vector<ServiceStatus> all;
  for (Service service : kServices) all.push_back({.service = service});
  // At once: frozen services would add up their timeouts.
  std::vector<std::thread> asking;
  for (ServiceStatus& status : all) {
    asking.emplace_back([&session, &status] {
      absl::Status health = session.To(status.service).CheckHealth(absl::Seconds(1));
      status.up = health.ok();
      status.why = std::string(health.message());
    });
  }
  for (std::thread& thread : asking) thread.join();
  std::map<std::string, std::vector<std::string>> waiting;
  if (all[static_cast<int>(Service::kScheduler)].up) {
    auto peers = session.Call(scheduler::kListPeers, {}, absl::Seconds(1));
    if (peers.ok()) {
      for (const auto& peer : peers->peers()) {
        waiting[peer.name()] = {peer.waiting().begin(), peer.waiting().end()};
      }
    }
  }
  for (ServiceStatus& status : all) {
    const std::string name = NameOf(status.service);
    status.waiting = waiting[name];
    if (status.up && status.service == Service::kMetrics) {
      auto metrics = session.Call(metrics::kGetStatus, {}, absl::Seconds(1));
      if (metrics.ok()) status.http_address = metrics->http_address();
    }
    if (status.up) {
      // Written when it started.
      status.up_since = ChangeTime(session.settings().PidPath(name));
    } else {
      status.absence = session.AbsenceOf(status.service);
    }
  }
  return all;
}

Json ToJson(const ServiceStatus& status) {
  Json json = Json::Object({{"name", NameOf(status.service)}, {"up", status.up}});
  const std::optional<absl::Time> since = status.up ? status.up_since : status.absence.since;
  json.Set("since",
           since ? Json(absl::FormatTime(absl::RFC3339_sec, *since, absl::UTCTimeZone())) : Json());
  if (!status.up) {
    json.Set("since_says", status.absence.witness);
    json.Set("why", status.why);
    json.Set("still_works", StillWorks(status.service));
    json.Set("waits", Waits(status.service));
  }
  json.Set("waiting", Json::Array(status.waiting));
  if (!status.http_address.empty()) json.Set("http_address", status.http_address);
  return json;
}

std::string ToText(const std::vector<ServiceStatus>& all, absl::Time now) {
  std::vector<std::vector<std::string>> lines;
  std::string details;
  for (const ServiceStatus& status : all) {
    const std::string name = NameOf(status.service);
    if (status.up) {
      lines.push_back(
          {name, "up",
           status.up_since ? absl::StrCat("since ", ClockTime(*status.up_since, now)) : ""});
      continue;
    }
    lines.push_back({name, "missing", SinceText(status.absence, now)});
    absl::StrAppend(&details, "\n", name, ": ", status.why,
                    "\n  still works:  ", StillWorks(status.service),
                    "\n  waits for it: ", Waits(status.service), "\n");
    for (const std::string& sentence : status.waiting) {
      absl::StrAppend(&details, "  waiting now:  ", sentence, "\n");
    }
  }
  return absl::StrCat(Table(lines), details);
}

absl::StatusOr<int> Run(Session& session, const Arguments& arguments) {
  const std::vector<ServiceStatus> all = AskAll(session);
  const std::string format = arguments.Text("format", "table");
  std::vector<Json> rows;
  for (const ServiceStatus& status : all) rows.push_back(ToJson(status));
  if (format == "json") {
    Json services = Json::Array();
    for (const Json& row : rows) services.Add(row);
    session.Print(Json::Object({{"services", services}}).Compact() + "\n");
  } else if (format == "table") {
    session.Print(ToText(all, absl::Now()));
  } else {
    ASSIGN_OR_RETURN(std::string text, Listing(rows, {}, format));
    session.Print(text);
  }
  const bool all_up =
      std::all_of(all.begin(), all.end(), [](const auto& status) { return status.up; });
  return all_up ? kOk : kServiceMissingCode;
}

}  // namespace

const Verb& StatusVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "status",
      .summary = "show every service: up, or missing since when, and what that means",
      .arguments = "",
      .flags = {kFormatFlag},
      .examples = "darse status\ndarse status --format json\n",
      .text = "Exit code 0 if all services are up, else 75.",
      .run = Run,
  };
  return *kVerb;
}

}  // namespace darse::client
