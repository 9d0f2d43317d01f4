#include "services/metrics/samples/kernel_text.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace darse::metrics {
namespace {

constexpr uint64_t kUnlimited = uint64_t{1} << 62;
constexpr uint64_t kSectorBytes = 512;

// Cuts the first word off `line`.
absl::string_view TakeWord(absl::string_view& line) {
  size_t begin = line.find_first_not_of(" \t");
  if (begin == absl::string_view::npos) begin = line.size();
  line.remove_prefix(begin);
  size_t end = line.find_first_of(" \t");
  absl::string_view word = line.substr(0, end);
  line.remove_prefix(word.size());
  return word;
}

uint64_t TakeNumber(absl::string_view& line) {
  uint64_t number = 0;
  return absl::SimpleAtoi(TakeWord(line), &number) ? number : 0;
}

void ForEachLine(absl::string_view text, absl::FunctionRef<void(absl::string_view)> each) {
  while (!text.empty()) {
    size_t end = text.find('\n');
    each(text.substr(0, end));
    text.remove_prefix(end == absl::string_view::npos ? text.size() : end + 1);
  }
}

double TakeAverage(absl::string_view line) {
  while (!line.empty()) {
    absl::string_view word = TakeWord(line);
    double average = 0;
    if (absl::ConsumePrefix(&word, "avg10=") && absl::SimpleAtod(word, &average)) return average;
    if (word.empty()) break;
  }
  return 0;
}

}  // namespace

uint64_t ParseNumber(absl::string_view text) {
  absl::string_view line = text.substr(0, text.find('\n'));
  uint64_t number = TakeNumber(line);
  return number >= kUnlimited ? 0 : number;
}

void ForEachPair(absl::string_view text,
                 absl::FunctionRef<void(absl::string_view, uint64_t)> each) {
  ForEachLine(text, [&](absl::string_view line) {
    absl::string_view key = absl::StripSuffix(TakeWord(line), ":");
    if (!key.empty()) each(key, TakeNumber(line));
  });
}

std::optional<PressureTotals> ParsePressure(absl::string_view text) {
  std::optional<PressureTotals> pressure;
  ForEachLine(text, [&](absl::string_view line) {
    absl::string_view kind = TakeWord(line);
    if (kind != "some" && kind != "full") return;
    if (!pressure) pressure.emplace();
    (kind == "some" ? pressure->some_avg10 : pressure->full_avg10) = TakeAverage(line);
  });
  return pressure;
}

ReadWrite ParseBlkio(absl::string_view text) {
  ReadWrite bytes;
  ForEachLine(text, [&](absl::string_view line) {
    TakeWord(line);
    absl::string_view kind = TakeWord(line);
    if (kind == "Read") bytes.read += TakeNumber(line);
    if (kind == "Write") bytes.written += TakeNumber(line);
  });
  return bytes;
}

ReadWrite ParseIoStat(absl::string_view text) {
  ReadWrite bytes;
  ForEachLine(text, [&](absl::string_view line) {
    while (!line.empty()) {
      absl::string_view word = TakeWord(line);
      uint64_t number = 0;
      if (absl::ConsumePrefix(&word, "rbytes=")) {
        if (absl::SimpleAtoi(word, &number)) bytes.read += number;
      } else if (absl::ConsumePrefix(&word, "wbytes=")) {
        if (absl::SimpleAtoi(word, &number)) bytes.written += number;
      }
    }
  });
  return bytes;
}

ReadWrite ParseDiskstats(absl::string_view text,
                         absl::FunctionRef<bool(absl::string_view)> counts) {
  ReadWrite bytes;
  ForEachLine(text, [&](absl::string_view line) {
    TakeWord(line);
    TakeWord(line);
    absl::string_view device = TakeWord(line);
    if (device.empty() || !counts(device)) return;
    // reads, merged, sectors, ms, writes, merged, sectors
    uint64_t fields[7];
    for (uint64_t& field : fields) field = TakeNumber(line);
    bytes.read += fields[2] * kSectorBytes;
    bytes.written += fields[6] * kSectorBytes;
  });
  return bytes;
}

std::map<std::string, InterfaceBytes> ParseNetDev(absl::string_view text) {
  std::map<std::string, InterfaceBytes> interfaces;
  ForEachLine(text, [&](absl::string_view line) {
    size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return;
    std::string name(absl::StripAsciiWhitespace(line.substr(0, colon)));
    line.remove_prefix(colon + 1);
    // received: bytes packets errs drop fifo frame compressed multicast; then transmitted
    uint64_t fields[9];
    for (uint64_t& field : fields) field = TakeNumber(line);
    interfaces[std::move(name)] = {fields[0], fields[8]};
  });
  return interfaces;
}

std::vector<CpuTicks> ParseCpuTicks(absl::string_view text) {
  std::vector<CpuTicks> cores;
  ForEachLine(text, [&](absl::string_view line) {
    if (!absl::StartsWith(line, "cpu")) return;
    TakeWord(line);
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    uint64_t fields[8];
    CpuTicks ticks;
    for (uint64_t& field : fields) ticks.total += field = TakeNumber(line);
    ticks.busy = ticks.total - fields[3] - fields[4];
    cores.push_back(ticks);
  });
  return cores;
}

std::array<double, 3> ParseLoad(absl::string_view text) {
  std::array<double, 3> load = {};
  for (double& average : load) {
    if (!absl::SimpleAtod(TakeWord(text), &average)) average = 0;
  }
  return load;
}

}  // namespace darse::metrics
