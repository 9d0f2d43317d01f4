#include "services/runtime/node/node_engine.h"

#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "services/runtime/node/node_store.h"

namespace darse::runtime {
namespace {

std::vector<std::string> Warnings(absl::string_view cgroup_mode) {
  std::vector<std::string> warnings;
  if (cgroup_mode == "v1" || cgroup_mode == "hybrid") {
    if (!Exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")) {
      warnings.push_back(
          "the kernel does not count swap: memory_swap_limit_bytes has no effect (boot with "
          "swapaccount=1)");
    }
  }
  if (ReadFile("/proc/sys/net/ipv4/ip_forward").value_or("1") == "0\n") {
    warnings.push_back(
        "net.ipv4.ip_forward is off: containers do not reach other machines (sysctl -w "
        "net.ipv4.ip_forward=1)");
  }
  std::string status = ReadFile("/proc/self/status").value_or("");
  constexpr uint64_t kSysResource = uint64_t{1} << 24;
  size_t at = status.find("\nCapEff:\t");
  if (at != std::string::npos &&
      (strtoull(status.c_str() + at + 9, nullptr, 16) & kSysResource) == 0) {
    warnings.push_back(
        "the runtime lacks CAP_SYS_RESOURCE: ulimits above its own hard limits are cut to these");
  }
  return warnings;
}

}  // namespace

NodeEngine::NodeEngine(sqlite::Database& db, Clock& clock, absl::string_view cgroup_mode,
                       std::function<std::string()> new_id)
    : db_(db), cgroup_mode_(cgroup_mode), new_id_(std::move(new_id)), start_time_(clock.Now()) {}

absl::StatusOr<bool> NodeEngine::Recover() {
  std::string boot_id = ReadFile("/proc/sys/kernel/random/boot_id").value_or("");
  bool rebooted = false;
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(node_id_, NodeStore::Get(tx, "node_id"));
    if (node_id_.empty()) {
      node_id_ = new_id_();
      RETURN_IF_ERROR(NodeStore::Set(tx, "node_id", node_id_));
    }
    ASSIGN_OR_RETURN(std::string before, NodeStore::Get(tx, "boot_id"));
    rebooted = !before.empty() && before != boot_id;
    return NodeStore::Set(tx, "boot_id", boot_id);
  }));
  return rebooted;
}

absl::StatusOr<NodeFacts> NodeEngine::Read() {
  utsname name;
  if (uname(&name) != 0) return absl::ErrnoToStatus(errno, "uname");
  struct sysinfo memory;
  if (sysinfo(&memory) != 0) return absl::ErrnoToStatus(errno, "sysinfo");
  NodeFacts facts;
  facts.node_id = node_id_;
  facts.start_time = start_time_;
  facts.hostname = name.nodename;
  facts.kernel_version = name.release;
  facts.operating_system = OperatingSystemName(ReadFile("/etc/os-release").value_or(""));
  facts.cpu_count = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  facts.memory_bytes = static_cast<int64_t>(memory.totalram) * memory.mem_unit;
  facts.cgroup_mode = cgroup_mode_;
  facts.warnings = Warnings(facts.cgroup_mode);
  return facts;
}

std::string OperatingSystemName(absl::string_view os_release) {
  for (absl::string_view line : absl::StrSplit(os_release, '\n')) {
    if (!absl::ConsumePrefix(&line, "PRETTY_NAME=")) continue;
    absl::ConsumePrefix(&line, "\"");
    absl::ConsumeSuffix(&line, "\"");
    return std::string(line);
  }
  return "Linux";
}

}  // namespace darse::runtime
