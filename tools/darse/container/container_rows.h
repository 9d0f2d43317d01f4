// Containers as the rows of `ps`, with docker's field names. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "darse/runtime/v1/container.pb.h"
#include "darse/runtime/v1/image.pb.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"

namespace darse::client {

// Labels that the scheduler sets.
inline constexpr char kStackLabel[] = "darse.stack";
inline constexpr char kServiceLabel[] = "darse.service";

// What an image runs when a container does not say: by image id.
using ImageCommands = std::map<std::string, std::string>;
// "\"docker-entrypoint.sh python3\""
std::string CommandOf(const darse::runtime::v1::Image& image);

// "running", "exited", …
std::string StateWord(darse::runtime::v1::ContainerState state);
// "starting", "healthy", "unhealthy" or "".
std::string HealthWord(const darse::runtime::v1::Container& container);
// "Up 3 minutes (healthy)", "Exited (0) 5 minutes ago", …
std::string StatusText(const darse::runtime::v1::Container& container, absl::Time now);
std::string PortsText(const darse::runtime::v1::Container& container);

const std::vector<Column>& ContainerColumns();
// Those that a template may use beside the columns'.
const std::vector<std::string>& MoreContainerFields();
Json ContainerRow(const darse::runtime::v1::Container& container, const ImageCommands& commands,
                  bool truncate, absl::Time now);

// One --filter of ps.
class ContainerFilter {
 public:
  // INVALID_ARGUMENT for an unknown key or value.
  static absl::StatusOr<ContainerFilter> Parse(const std::vector<std::string>& filters);

  // Filters of one key are alternatives; different keys must all match. Labels must all match.
  bool Matches(const darse::runtime::v1::Container& container) const;
  // True if stopped containers are asked for.
  bool names_states() const { return by_key_.count("status") > 0 || by_key_.count("exited") > 0; }

 private:
  std::map<std::string, std::vector<std::string>> by_key_;
};

}  // namespace darse::client
