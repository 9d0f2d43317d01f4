// This node: what it is and how it is.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/sqlite/database.h"

namespace darse::runtime {

inline constexpr char kVersion[] = "0.1.0";

struct NodeFacts {
  std::string node_id;
  absl::Time start_time;
  std::string hostname;
  std::string kernel_version;
  std::string operating_system;
  int cpu_count = 0;
  int64_t memory_bytes = 0;
  std::string cgroup_mode;
  // What this host cannot do, as sentences with the way out.
  std::vector<std::string> warnings;
};

// Thread-safe.
class NodeEngine {
 public:
  NodeEngine(sqlite::Database& db, Clock& clock, absl::string_view cgroup_mode,
             std::function<std::string()> new_id);

  // Once, before any other verb: makes the node's id at the first start. Answers whether the
  // machine was started since this runtime ran last.
  absl::StatusOr<bool> Recover();
  absl::StatusOr<NodeFacts> Read();
  // After Recover().
  const std::string& id() const { return node_id_; }

 private:
  sqlite::Database& db_;
  const std::string cgroup_mode_;
  const std::function<std::string()> new_id_;
  const absl::Time start_time_;
  std::string node_id_;
};

// Of /etc/os-release: PRETTY_NAME, without its quotes.
std::string OperatingSystemName(absl::string_view os_release);

}  // namespace darse::runtime
