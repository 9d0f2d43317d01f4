// What the kernel's small files say. Pure functions over their text; what does not parse is 0 or
// absent, since a kernel that words things otherwise must not stop the sampling.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace darse::metrics {

// The first number of the text; "max" and anything above 2^62 (v1's "unlimited") are 0.
uint64_t ParseNumber(absl::string_view text);
// Calls `each` for lines of the form "key value" or "key: value kB".
void ForEachPair(absl::string_view text, absl::FunctionRef<void(absl::string_view, uint64_t)> each);

struct PressureTotals {
  double some_avg10 = 0, full_avg10 = 0;

  bool operator==(const PressureTotals&) const = default;
};
std::optional<PressureTotals> ParsePressure(absl::string_view text);

struct ReadWrite {
  uint64_t read = 0, written = 0;

  bool operator==(const ReadWrite&) const = default;
};
// blkio.throttle.io_service_bytes: "8:0 Read 123".
ReadWrite ParseBlkio(absl::string_view text);
// io.stat: "8:0 rbytes=1 wbytes=2 …".
ReadWrite ParseIoStat(absl::string_view text);
// /proc/diskstats, in bytes, of the devices that `counts` says yes to.
ReadWrite ParseDiskstats(absl::string_view text,
                         absl::FunctionRef<bool(absl::string_view device)> counts);

struct InterfaceBytes {
  uint64_t received = 0, transmitted = 0;

  bool operator==(const InterfaceBytes&) const = default;
};
// /proc/net/dev.
std::map<std::string, InterfaceBytes> ParseNetDev(absl::string_view text);

// /proc/stat: all cores together first, then each.
struct CpuTicks {
  uint64_t busy = 0, total = 0;

  bool operator==(const CpuTicks&) const = default;
};
std::vector<CpuTicks> ParseCpuTicks(absl::string_view text);

// /proc/loadavg.
std::array<double, 3> ParseLoad(absl::string_view text);

}  // namespace darse::metrics
