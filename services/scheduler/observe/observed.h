// What the runtime was last seen to have, as a value that a plan can be made from.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "darse/runtime/v1/container.pb.h"
#include "darse/runtime/v1/network_service.pb.h"
#include "darse/runtime/v1/volume_service.pb.h"

namespace darse::scheduler {

inline constexpr char kStackLabel[] = "darse.stack";
inline constexpr char kServiceLabel[] = "darse.service";
inline constexpr char kSlotLabel[] = "darse.slot";
inline constexpr char kHashLabel[] = "darse.config_hash";

struct SeenContainer {
  std::shared_ptr<const runtime::v1::Container> container;
  absl::Time observe_time;
};

struct Observed {
  // Something is known, however old.
  bool known = false;
  // It is up to date and follows the runtime's events.
  bool synced = false;
  // By id; only those that carry kStackLabel.
  std::map<std::string, SeenContainer> containers;
  // By name; all there are.
  std::map<std::string, runtime::v1::Network> networks;
  std::map<std::string, runtime::v1::Volume> volumes;
  // Reference (or id) asked for -> id; empty: there is none.
  std::map<std::string, std::string> images;
};

inline std::string Label(const runtime::v1::Container& container, const char* key) {
  const auto found = container.spec().labels().find(key);
  return found == container.spec().labels().end() ? "" : found->second;
}

}  // namespace darse::scheduler
