#include "services/metrics/samples/host_reader.h"

#include <dirent.h>
#include <sys/statvfs.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/os/files.h"

namespace darse::metrics {
namespace {

// Listing /proc costs as much as all else together.
constexpr int kCountProcessesEvery = 5;
// Forget what was learned about devices, since names are used again.
constexpr int kForgetDevicesEvery = 600;

absl::string_view Or(const absl::StatusOr<absl::string_view>& text) {
  return text.ok() ? *text : absl::string_view();
}

}  // namespace

HostReader::HostReader(std::string proc, std::string sys, std::string data_root)
    : proc_(std::move(proc)),
      sys_(std::move(sys)),
      data_root_(std::move(data_root)),
      stat_(proc_ + "/stat"),
      load_(proc_ + "/loadavg"),
      memory_(proc_ + "/meminfo"),
      disks_(proc_ + "/diskstats"),
      network_(proc_ + "/net/dev"),
      uptime_(proc_ + "/uptime"),
      cpu_pressure_(proc_ + "/pressure/cpu"),
      memory_pressure_(proc_ + "/pressure/memory"),
      io_pressure_(proc_ + "/pressure/io") {}

HostCounters HostReader::Read() {
  if (reads_ % kForgetDevicesEvery == 0) {
    whole_disks_.clear();
    uplinks_.clear();
  }
  HostCounters host;
  host.cpu = ParseCpuTicks(Or(stat_.Read()));
  host.load = ParseLoad(Or(load_.Read()));
  ForEachPair(Or(memory_.Read()), [&](absl::string_view key, uint64_t kib) {
    if (key == "MemTotal") host.memory_total_bytes = kib * 1024;
    if (key == "MemAvailable") host.memory_available_bytes = kib * 1024;
    if (key == "SwapTotal") host.swap_total_bytes = kib * 1024;
    if (key == "SwapFree") host.swap_free_bytes = kib * 1024;
  });
  host.disk = ParseDiskstats(Or(disks_.Read()),
                             [&](absl::string_view device) { return IsWholeDisk(device); });
  interfaces_ = ParseNetDev(Or(network_.Read()));
  for (const auto& [name, bytes] : interfaces_) {
    if (!IsUplink(name)) continue;
    host.network.received += bytes.received;
    host.network.transmitted += bytes.transmitted;
  }
  double seconds = 0;
  absl::string_view uptime = Or(uptime_.Read());
  if (absl::SimpleAtod(uptime.substr(0, uptime.find(' ')), &seconds))
    host.uptime = absl::Seconds(seconds);
  host.cpu_pressure = ParsePressure(Or(cpu_pressure_.Read()));
  host.memory_pressure = ParsePressure(Or(memory_pressure_.Read()));
  host.io_pressure = ParsePressure(Or(io_pressure_.Read()));
  if (reads_++ % kCountProcessesEvery == 0) processes_ = CountProcesses();
  host.processes = processes_;
  struct statvfs disk;
  if (::statvfs(data_root_.c_str(), &disk) == 0) {
    host.data_disk_total_bytes = uint64_t{disk.f_blocks} * disk.f_frsize;
    host.data_disk_free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  }
  return host;
}

InterfaceBytes HostReader::NetworkOfProcess(int64_t pid) const {
  InterfaceBytes sum;
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat(proc_, "/", pid, "/net/dev"));
  if (!text.ok()) return sum;
  for (const auto& [name, bytes] : ParseNetDev(*text)) {
    if (name == "lo") continue;
    sum.received += bytes.received;
    sum.transmitted += bytes.transmitted;
  }
  return sum;
}

// A partition has no entry in /sys/block; loop, ram, device mapper and raid have no device behind
// them, and what they do is counted at the disks below.
bool HostReader::IsWholeDisk(absl::string_view device) {
  auto found = whole_disks_.find(device);
  if (found != whole_disks_.end()) return found->second;
  bool whole = Exists(absl::StrCat(sys_, "/block/", device, "/device"));
  whole_disks_[std::string(device)] = whole;
  return whole;
}

// Bridges and veths carry what an uplink carries again, or what never leaves the host.
bool HostReader::IsUplink(const std::string& interface) {
  auto found = uplinks_.find(interface);
  if (found != uplinks_.end()) return found->second;
  bool uplink = Exists(absl::StrCat(sys_, "/class/net/", interface, "/device"));
  uplinks_[interface] = uplink;
  return uplink;
}

int HostReader::CountProcesses() const {
  DIR* entries = ::opendir(proc_.c_str());
  if (entries == nullptr) return 0;
  int processes = 0;
  while (struct dirent* entry = ::readdir(entries)) {
    processes += absl::ascii_isdigit(static_cast<unsigned char>(entry->d_name[0]));
  }
  ::closedir(entries);
  return processes;
}

}  // namespace darse::metrics
