// What a container does at this moment: its log, processes and figures.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/containers/log_follower.h"
#include "services/runtime/networks/id_ranges.h"

namespace darse::runtime {
namespace {

// The machine's start, for times that the kernel counts from there.
absl::Time BootTime() {
  std::string text = ReadFile("/proc/stat").value_or("");
  size_t at = text.find("\nbtime ");
  int64_t seconds = 0;
  if (at != std::string::npos) {
    absl::string_view rest = absl::string_view(text).substr(at + 7);
    (void)absl::SimpleAtoi(rest.substr(0, rest.find('\n')), &seconds);
  }
  return absl::FromUnixSeconds(seconds);
}

absl::StatusOr<ContainerProcess> ReadProcess(int64_t pid, absl::Time boot) {
  std::string directory = absl::StrCat("/proc/", pid, "/");
  ASSIGN_OR_RETURN(std::string stat, ReadFile(directory + "stat"));
  ASSIGN_OR_RETURN(std::string command, ReadFile(directory + "cmdline"));
  // The name may hold blanks and brackets: count from the last one.
  size_t open = stat.find('(');
  size_t close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos) {
    return absl::DataLossError("stat of a process");
  }
  std::vector<std::string> fields =
      absl::StrSplit(absl::string_view(stat).substr(close + 1), ' ', absl::SkipEmpty());
  // fields[0] is field 3 of proc(5).
  if (fields.size() < 22) return absl::DataLossError("stat of a process");
  auto number = [&](int field) {
    int64_t value = 0;
    (void)absl::SimpleAtoi(fields[static_cast<size_t>(field - 3)], &value);
    return value;
  };
  double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  ContainerProcess process;
  process.pid = pid;
  process.parent_pid = number(4);
  process.cpu_time = absl::Seconds(static_cast<double>(number(14) + number(15)) / ticks);
  process.started_at = boot + absl::Seconds(static_cast<double>(number(22)) / ticks);
  process.resident_bytes = number(24) * sysconf(_SC_PAGESIZE);
  std::replace(command.begin(), command.end(), '\0', ' ');
  process.command = std::string(absl::StripSuffix(command, " "));
  if (process.command.empty()) {
    process.command = absl::StrCat("[", stat.substr(open + 1, close - open - 1), "]");
  }
  std::string status = ReadFile(directory + "status").value_or("");
  size_t uid = status.find("\nUid:\t");
  if (uid != std::string::npos) {
    absl::string_view rest = absl::string_view(status).substr(uid + 6);
    (void)absl::SimpleAtoi(rest.substr(0, rest.find('\t')), &process.uid);
  }
  return process;
}

// Bytes of all interfaces but lo, in the network namespace of a process.
void ReadNetwork(int64_t pid, ContainerFigures& figures) {
  std::string text = ReadFile(absl::StrCat("/proc/", pid, "/net/dev")).value_or("");
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    size_t colon = line.find(':');
    if (colon == absl::string_view::npos) continue;
    if (absl::StripAsciiWhitespace(line.substr(0, colon)) == "lo") continue;
    std::vector<absl::string_view> fields =
        absl::StrSplit(line.substr(colon + 1), ' ', absl::SkipEmpty());
    int64_t received = 0;
    int64_t sent = 0;
    if (fields.size() < 9 || !absl::SimpleAtoi(fields[0], &received) ||
        !absl::SimpleAtoi(fields[8], &sent)) {
      continue;
    }
    figures.network_receive_bytes += received;
    figures.network_transmit_bytes += sent;
  }
}

int64_t FileSize(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 ? status.st_size : 0;
}

int64_t LogBytes(const ContainerDir& dir) {
  int64_t bytes = 0;
  for (const std::string& name : ListDirectory(dir.log()).value_or(std::vector<std::string>())) {
    bytes += FileSize(JoinPath(dir.log(), name));
  }
  return bytes;
}

}  // namespace

std::vector<std::string> ContainerEngine::Warnings() const {
  if (user_namespaces_.obstacle().empty()) return {};
  return {
      absl::StrCat("root of a container is root of the host, for user namespaces cannot be used: ",
                   user_namespaces_.obstacle())};
}

absl::StatusOr<std::vector<ContainerProcess>> ContainerEngine::ListProcesses(
    absl::string_view reference) {
  ASSIGN_OR_RETURN(ContainerRecord record, Get(reference));
  if (!IsLive(record.state)) {
    return absl::FailedPreconditionError(
        absl::StrCat("container \"", record.name, "\" is not running"));
  }
  ASSIGN_OR_RETURN(std::vector<pid_t> pids, cgroups_.Processes(record.cgroup_path));
  std::sort(pids.begin(), pids.end());
  absl::Time boot = BootTime();
  std::vector<ContainerProcess> processes;
  for (pid_t pid : pids) {
    absl::StatusOr<ContainerProcess> process = ReadProcess(pid, boot);
    // It may have ended meanwhile.
    if (!process.ok()) continue;
    // As the container sees it.
    uint32_t inside = process->uid - record.first_user_id;
    if (record.first_user_id != 0 && inside < kIdsOfOne) process->uid = inside;
    processes.push_back(*std::move(process));
  }
  return processes;
}

absl::StatusOr<std::vector<ContainerFigures>> ContainerEngine::ReadFigures(
    const std::vector<std::string>& references) {
  std::vector<ContainerRecord> records;
  if (references.empty()) {
    ASSIGN_OR_RETURN(records, ListAll());
  }
  for (const std::string& reference : references) {
    ASSIGN_OR_RETURN(ContainerRecord record, Get(reference));
    records.push_back(std::move(record));
  }
  std::vector<ContainerFigures> all;
  for (const ContainerRecord& record : records) {
    if (!IsLive(record.state)) {
      if (references.empty()) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("container \"", record.name, "\" is not running"));
    }
    absl::StatusOr<cgroup::Stats> stats = cgroups_.ReadStats(record.cgroup_path);
    // It is just ending, or waits for its restart.
    if (absl::IsNotFound(stats.status())) continue;
    RETURN_IF_ERROR(stats.status());
    ContainerFigures figures{
        .id = record.id, .name = record.name, .time = clock_.Now(), .stats = *std::move(stats)};
    if (record.merged.network_mode() == v1::NETWORK_MODE_BRIDGE && record.pid != 0) {
      ReadNetwork(record.pid, figures);
    }
    all.push_back(std::move(figures));
  }
  return all;
}

absl::StatusOr<std::unique_ptr<LogFollower>> ContainerEngine::OpenLog(absl::string_view reference,
                                                                      const LogFilter& filter,
                                                                      bool follow,
                                                                      std::function<void()> wake) {
  ASSIGN_OR_RETURN(ContainerRecord record, Get(reference));
  std::string directory = Dir(record.id).log();
  if (!follow) return std::make_unique<LogFollower>(loop_, directory, filter);
  std::string id = record.id;
  return std::make_unique<LogFollower>(
      loop_, changes_, id, directory, filter,
      [this, id] {
        absl::StatusOr<ContainerRecord> now = Read(id);
        if (!now.ok()) return false;
        return IsLive(now->state) || now->state == ContainerState::kCreated;
      },
      std::move(wake));
}

absl::StatusOr<ContainerEngine::DiskUsage> ContainerEngine::ReadDiskUsage() {
  ASSIGN_OR_RETURN(std::vector<ContainerRecord> records, ListAll());
  DiskUsage usage;
  for (const ContainerRecord& record : records) {
    usage.log_bytes += LogBytes(Dir(record.id));
    if (!record.spec.snapshot_id().empty()) continue;
    absl::StatusOr<int64_t> bytes = neighbours_.snapshots.Usage(record.id);
    if (bytes.ok()) usage.container_bytes += *bytes;
  }
  return usage;
}

}  // namespace darse::runtime
