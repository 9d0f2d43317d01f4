#include "tools/darse/session/session.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/reason.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/session/metrics_methods.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/scheduler_methods.h"

namespace darse::client {
namespace {

// Payload that names the service an error is about.
constexpr char kServiceUrl[] = "darse/service";
// Reason of an error that a service answers because one of its peers is away.
constexpr char kPeerMissing[] = "PEER_MISSING";
constexpr absl::Duration kAskPeers = absl::Milliseconds(300);

struct Hint {
  const char* reason;
  const char* text;
};
constexpr Hint kHints[] = {
    {"PORT_IN_USE", "publish another port (-p HOST:CONTAINER), or end what listens there"},
    {"COMMAND_NOT_FOUND", "look into the image with `darse run --rm -it IMAGE sh`"},
    {"IMAGE_IN_USE", "remove the containers first (`darse ps -a`), or use --force"},
    {"VOLUME_IN_USE", "remove the containers that have it first: `darse ps -a`"},
    {"NETWORK_IN_USE", "remove the containers on it first: `darse ps -a`"},
    {"EVENTS_TRIMMED", "leave out --since, or use a newer sequence"},
};

// When anything in the directory was last written.
std::optional<absl::Time> NewestChange(const std::string& directory) {
  std::optional<absl::Time> newest;
  DIR* open = opendir(directory.c_str());
  if (open == nullptr) return newest;
  while (dirent* entry = readdir(open)) {
    struct stat found;
    if (entry->d_name[0] == '.' || fstatat(dirfd(open), entry->d_name, &found, 0) != 0) continue;
    newest = std::max(newest.value_or(absl::InfinitePast()), absl::TimeFromTimespec(found.st_mtim));
  }
  closedir(open);
  return newest;
}

std::optional<Service> ServiceOf(const absl::Status& status) {
  auto payload = status.GetPayload(kServiceUrl);
  if (!payload) return std::nullopt;
  for (Service service : kServices) {
    if (*payload == NameOf(service)) return service;
  }
  return std::nullopt;
}

}  // namespace

Session::Session(Settings settings, std::span<const Verb* const> verbs)
    : settings_(std::move(settings)),
      verbs_(verbs),
      output_is_terminal_(isatty(STDOUT_FILENO)),
      errors_are_terminal_(isatty(STDERR_FILENO)) {
  for (Service service : kServices) {
    const char* name = NameOf(service);
    connections_[static_cast<int>(service)] =
        std::make_unique<Connection>(name, settings_.SocketPath(name));
  }
}

absl::Status Session::Explain(Service service, absl::Status status) {
  if (Reason(status) != kServiceMissing) return status;
  // A service that is well says "unavailable" about one of its peers.
  if (To(service).CheckHealth(absl::Seconds(1)).ok()) {
    return WithReason(std::move(status), kPeerMissing);
  }
  status.SetPayload(kServiceUrl, absl::Cord(NameOf(service)));
  return status;
}

absl::Status Session::CheckAlive(Service service) {
  absl::Status status = To(service).CheckHealth(absl::Seconds(2));
  if (!status.ok()) status.SetPayload(kServiceUrl, absl::Cord(NameOf(service)));
  return status;
}

void Session::Print(absl::string_view text) {
  if (fwrite(text.data(), 1, text.size(), stdout) != text.size()) output_failed_ = true;
}

void Session::Note(absl::string_view sentence) {
  fflush(stdout);
  const std::string line = absl::StrCat("darse: ", sentence, "\n");
  fwrite(line.data(), 1, line.size(), stderr);
}

bool Session::Flush() {
  if (fflush(stdout) != 0) output_failed_ = true;
  return !output_failed_;
}

int Session::Report(const absl::Status& error) {
  const std::string reason = Reason(error);
  if (std::optional<Service> service = ServiceOf(error)) {
    std::string text = MissingText(*service, To(*service).socket_path(), AbsenceOf(*service),
                                   error.message(), absl::Now());
    if (absl::EndsWith(text, "\n")) text.pop_back();
    Note(text);
    return kServiceMissingCode;
  }
  std::string text(error.message());
  if (text.empty()) text = absl::StatusCodeToString(error.code());
  for (const Hint& hint : kHints) {
    if (reason == hint.reason) absl::StrAppend(&text, "\n  ", hint.text);
  }
  Note(text);
  if (reason == kBadUsage) return kBadUsageCode;
  // A service that is there says that one of its peers is not.
  if (reason == kPeerMissing || reason == kServiceMissing) return kServiceMissingCode;
  if (error.code() == absl::StatusCode::kCancelled) return kInterrupted;
  return kFailed;
}

Absence Session::AbsenceOf(Service service) {
  if (service == Service::kRuntime || service == Service::kBuilder) {
    auto peers = Call(scheduler::kListPeers, {}, kAskPeers);
    if (peers.ok()) {
      for (const auto& peer : peers->peers()) {
        if (peer.name() == NameOf(service) && !peer.up()) {
          return {ToTime(peer.since()), "the scheduler"};
        }
      }
    }
  }
  if (service == Service::kRuntime) {
    auto status = Call(metrics::kGetStatus, {}, kAskPeers);
    if (status.ok() && status->has_runtime_missing_since()) {
      return {ToTime(status->runtime_missing_since()), "metrics"};
    }
  }
  return {NewestChange(settings_.StateDirectory(NameOf(service))), ""};
}

}  // namespace darse::client
