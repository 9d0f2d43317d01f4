#include "tools/darse/container/container_rows.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/darse/options/port_option.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

std::string LabelOf(const Container& container, absl::string_view key) {
  auto found = container.spec().labels().find(std::string(key));
  return found == container.spec().labels().end() ? "" : found->second;
}

std::string CommandText(const Container& container, const ImageCommands& commands) {
  const ContainerSpec& spec = container.spec();
  std::vector<std::string> words(spec.entrypoint().args().begin(), spec.entrypoint().args().end());
  words.insert(words.end(), spec.command().args().begin(), spec.command().args().end());
  if (words.empty()) {
    auto image = commands.find(container.image_id());
    return image == commands.end() ? "" : image->second;
  }
  return absl::StrJoin(words, " ");
}

// An id given as the image is shown short.
std::string ImageText(const Container& container, bool truncate) {
  const std::string& image = container.spec().image();
  if (image.empty()) return container.spec().snapshot_id().empty() ? "" : "<snapshot>";
  return truncate && absl::StartsWith(image, "sha256:") ? ShortId(image) : image;
}

std::string MountsText(const ContainerSpec& spec, bool truncate) {
  std::vector<std::string> names;
  for (const Mount& mount : spec.mounts()) {
    if (mount.type() == MOUNT_TYPE_TMPFS) continue;
    names.push_back(truncate ? Shorten(mount.source(), 15) : mount.source());
  }
  return absl::StrJoin(names, ",");
}

std::string NetworksText(const Container& container) {
  std::vector<std::string> names;
  for (const NetworkEndpoint& endpoint : container.endpoints()) {
    names.push_back(endpoint.network_name());
  }
  if (names.empty()) {
    switch (container.spec().network_mode()) {
      case NETWORK_MODE_HOST:
        return "host";
      case NETWORK_MODE_NONE:
        return "none";
      default:
        for (const NetworkAttachment& network : container.spec().networks()) {
          names.push_back(network.network());
        }
    }
  }
  return absl::StrJoin(names, ",");
}

bool HasLabel(const Container& container, absl::string_view wanted) {
  std::pair<std::string, std::string> pair = absl::StrSplit(wanted, absl::MaxSplits('=', 1));
  auto found = container.spec().labels().find(pair.first);
  if (found == container.spec().labels().end()) return false;
  return !absl::StrContains(wanted, "=") || found->second == pair.second;
}

bool MatchesOne(const Container& container, absl::string_view key, const std::string& value) {
  if (key == "name") return absl::StrContains(container.name(), value);
  if (key == "id") return absl::StartsWith(container.id(), value);
  if (key == "status") return StateWord(container.state()) == value;
  if (key == "stack") return LabelOf(container, kStackLabel) == value;
  if (key == "service") return LabelOf(container, kServiceLabel) == value;
  if (key == "health")
    return value == (HealthWord(container).empty() ? "none" : HealthWord(container));
  if (key == "exited") {
    return container.state() == CONTAINER_STATE_EXITED &&
           absl::StrCat(container.exit_code()) == value;
  }
  if (key == "ancestor") {
    return container.spec().image() == value ||
           absl::StartsWith(container.spec().image(), value + ":") ||
           absl::StartsWith(ShortId(container.image_id()), value) || container.image_id() == value;
  }
  if (key == "volume") {
    return std::any_of(
        container.spec().mounts().begin(), container.spec().mounts().end(),
        [&](const Mount& mount) { return mount.source() == value || mount.target() == value; });
  }
  if (key == "network") {
    for (const NetworkEndpoint& endpoint : container.endpoints()) {
      if (endpoint.network_name() == value || absl::StartsWith(endpoint.network_id(), value)) {
        return true;
      }
    }
    return NetworksText(container) == value;
  }
  return false;
}

}  // namespace

std::string CommandOf(const Image& image) {
  absl::StatusOr<Json> config = Json::Parse(image.config_json());
  if (!config.ok()) return "";
  const Json* inner = config->Find("config");
  if (inner == nullptr) return "";
  std::vector<std::string> words = inner->TextsOf("Entrypoint");
  for (const std::string& word : inner->TextsOf("Cmd")) words.push_back(word);
  return absl::StrJoin(words, " ");
}

std::string StateWord(ContainerState state) {
  switch (state) {
    case CONTAINER_STATE_CREATED:
      return "created";
    case CONTAINER_STATE_RUNNING:
      return "running";
    case CONTAINER_STATE_PAUSED:
      return "paused";
    case CONTAINER_STATE_RESTARTING:
      return "restarting";
    case CONTAINER_STATE_EXITED:
      return "exited";
    case CONTAINER_STATE_REMOVING:
      return "removing";
    default:
      return "unknown";
  }
}

std::string HealthWord(const Container& container) {
  switch (container.health().status()) {
    case Health::STARTING:
      return "starting";
    case Health::HEALTHY:
      return "healthy";
    case Health::UNHEALTHY:
      return "unhealthy";
    default:
      return "";
  }
}

std::string StatusText(const Container& container, absl::Time now) {
  const std::string up = RoughDuration(now - ToTime(container.start_time()));
  const std::string ended = Ago(ToTime(container.finish_time()), now);
  const std::string health = HealthWord(container);
  switch (container.state()) {
    case CONTAINER_STATE_RUNNING:
      if (health.empty()) return absl::StrCat("Up ", up);
      return absl::StrCat("Up ", up, " (", health == "starting" ? "health: " : "", health, ")");
    case CONTAINER_STATE_PAUSED:
      return absl::StrCat("Up ", up, " (Paused)");
    case CONTAINER_STATE_RESTARTING:
      return absl::StrCat("Restarting (", container.exit_code(), ") ", ended);
    case CONTAINER_STATE_EXITED:
      return absl::StrCat("Exited (", container.exit_code(), ") ", ended,
                          container.oom_killed() ? " (out of memory)" : "");
    case CONTAINER_STATE_CREATED:
      return "Created";
    case CONTAINER_STATE_REMOVING:
      return "Removal In Progress";
    default:
      return "Unknown";
  }
}

std::string PortsText(const Container& container) {
  const bool live =
      container.state() == CONTAINER_STATE_RUNNING || container.state() == CONTAINER_STATE_PAUSED;
  std::vector<std::string> ports;
  if (live) {
    for (const PortMapping& port : container.ports()) ports.push_back(PortText(port));
  }
  return absl::StrJoin(ports, ", ");
}

const std::vector<Column>& ContainerColumns() {
  static const auto* const kColumns = new std::vector<Column>{
      {"ID", "CONTAINER ID"}, {"Image", "IMAGE"}, {"Command", "COMMAND"}, {"RunningFor", "CREATED"},
      {"Status", "STATUS"},   {"Ports", "PORTS"}, {"Names", "NAMES"},     {"Stack", "STACK"}};
  return *kColumns;
}

const std::vector<std::string>& MoreContainerFields() {
  static const auto* const kFields = new std::vector<std::string>{
      "CreatedAt", "State",    "Health",  "Labels",   "LabelMap",    "LocalVolumes",
      "Mounts",    "Networks", "Service", "ExitCode", "RestartCount"};
  return *kFields;
}

Json ContainerRow(const Container& container, const ImageCommands& commands, bool truncate,
                  absl::Time now) {
  const ContainerSpec& spec = container.spec();
  std::string command = CommandText(container, commands);
  if (truncate) command = Shorten(command, 20);
  std::vector<std::string> labels;
  Json label_map = Json::Object();
  const std::map<std::string, std::string> sorted(spec.labels().begin(), spec.labels().end());
  for (const auto& [key, value] : sorted) {
    labels.push_back(absl::StrCat(key, "=", value));
    label_map.Set(key, value);
  }
  int64_t volumes =
      std::count_if(spec.mounts().begin(), spec.mounts().end(),
                    [](const Mount& mount) { return mount.type() == MOUNT_TYPE_VOLUME; });
  const absl::Time created = ToTime(container.create_time());
  return Json::Object({
      {"ID", truncate ? ShortId(container.id()) : container.id()},
      {"Names", container.name()},
      {"Image", ImageText(container, truncate)},
      {"Command", absl::StrCat("\"", command, "\"")},
      {"CreatedAt", Stamp(created)},
      {"RunningFor", Ago(created, now)},
      {"Status", StatusText(container, now)},
      {"State", StateWord(container.state())},
      {"Health", HealthWord(container)},
      {"ExitCode", container.exit_code()},
      {"RestartCount", container.restart_count()},
      {"Ports", PortsText(container)},
      {"Stack", LabelOf(container, kStackLabel)},
      {"Service", LabelOf(container, kServiceLabel)},
      {"Labels", absl::StrJoin(labels, ",")},
      {"LabelMap", label_map},
      {"LocalVolumes", volumes},
      {"Mounts", MountsText(spec, truncate)},
      {"Networks", NetworksText(container)},
  });
}

absl::StatusOr<ContainerFilter> ContainerFilter::Parse(const std::vector<std::string>& filters) {
  static constexpr absl::string_view kKeys[] = {"name",    "id",      "status", "stack",
                                                "service", "health",  "exited", "ancestor",
                                                "volume",  "network", "label"};
  static constexpr absl::string_view kStates[] = {"created",    "running", "paused",
                                                  "restarting", "exited",  "removing"};
  ContainerFilter made;
  for (const std::string& filter : filters) {
    const size_t equals = filter.find('=');
    const std::string key = filter.substr(0, equals);
    if (equals == std::string::npos ||
        std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--filter \"", filter, "\": write KEY=VALUE; keys are ", absl::StrJoin(kKeys, ", ")));
    }
    const std::string value = filter.substr(equals + 1);
    if (key == "status" &&
        std::find(std::begin(kStates), std::end(kStates), value) == std::end(kStates)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--filter \"", filter, "\": a status is one of ", absl::StrJoin(kStates, ", ")));
    }
    made.by_key_[key].push_back(value);
  }
  return made;
}

bool ContainerFilter::Matches(const Container& container) const {
  for (const auto& [key, values] : by_key_) {
    const std::string& wanted = key;
    const bool matches =
        key == "label"
            ? std::all_of(values.begin(), values.end(),
                          [&](const std::string& value) { return HasLabel(container, value); })
            : std::any_of(values.begin(), values.end(), [&](const std::string& value) {
                return MatchesOne(container, wanted, value);
              });
    if (!matches) return false;
  }
  return true;
}

}  // namespace darse::client
