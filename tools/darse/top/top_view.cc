#include "tools/darse/top/top_view.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

using namespace darse::metrics::v1;  // NOLINT: message names only

// ANSI: bold, inverse, dim, red, off.
constexpr char kBold[] = "\x1b[1m";
constexpr char kInverse[] = "\x1b[7m";
constexpr char kRed[] = "\x1b[31m";
constexpr char kOff[] = "\x1b[0m";

constexpr int kHeaderLines = 5;

std::string Rate(double bytes) {
  return absl::StrCat(DecimalSize(static_cast<int64_t>(std::llround(std::max(0.0, bytes)))), "/s");
}

// Right-aligned in `width`, counting characters and not bytes.
std::string Right(const std::string& text, size_t width) {
  const size_t has = Width(text);
  return has >= width ? text : std::string(width - has, ' ') + text;
}
std::string Left(const std::string& text, size_t width) {
  const std::string shown = Shorten(text, width);
  return shown + std::string(width - Width(shown), ' ');
}

double NetworkOf(const ContainerSample& sample) {
  return sample.network_receive_bytes_per_second() + sample.network_transmit_bytes_per_second();
}
double BlockIoOf(const ContainerSample& sample) {
  return sample.block_read_bytes_per_second() + sample.block_write_bytes_per_second();
}

// Larger comes first; names ascending.
double Weight(const ContainerSample& sample, SortBy sort) {
  switch (sort) {
    case SortBy::kCpu:
      return sample.cpu_percent();
    case SortBy::kMemory:
      return static_cast<double>(sample.memory_working_set_bytes());
    case SortBy::kNetwork:
      return NetworkOf(sample);
    case SortBy::kBlockIo:
      return BlockIoOf(sample);
    case SortBy::kPids:
      return static_cast<double>(sample.pids());
    case SortBy::kName:
      return 0;
  }
  return 0;
}

std::string HostPressure(const HostSample& host) {
  if (!host.has_cpu_pressure() && !host.has_memory_pressure() && !host.has_io_pressure()) {
    return "psi -";
  }
  return absl::StrFormat("psi cpu %.1f mem %.1f io %.1f", host.cpu_pressure().some_avg10(),
                         host.memory_pressure().some_avg10(), host.io_pressure().some_avg10());
}

std::vector<std::string> HostLines(const Frame& frame, const TopScreen& screen) {
  const HostSample& host = frame.host();
  const int64_t memory_used = host.memory_total_bytes() - host.memory_available_bytes();
  const int64_t swap_used = host.swap_total_bytes() - host.swap_free_bytes();
  auto percent = [](int64_t part, int64_t whole) {
    return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  };
  const int bar = std::clamp((screen.columns - 60) / 3, 5, 24);
  const absl::Time time = ToTime(frame.time());
  const int64_t hours = absl::ToInt64Hours(ToDuration(host.uptime()));
  const int64_t disk_used = host.data_disk_total_bytes() - host.data_disk_free_bytes();
  return {
      absl::StrCat("darse top  ", absl::FormatTime("%H:%M:%S", time, absl::LocalTimeZone()),
                   absl::StrFormat("  up %dd %dh  load %.2f %.2f %.2f  ", hours / 24, hours % 24,
                                   host.load1(), host.load5(), host.load15()),
                   frame.containers_size(), " containers, ", host.processes(), " processes"),
      absl::StrCat("cpu ", Bar(host.cpu_percent(), bar),
                   absl::StrFormat(" %5.1f%%  mem ", host.cpu_percent()),
                   Bar(percent(memory_used, host.memory_total_bytes()), bar), " ",
                   BinarySize(memory_used), "/", BinarySize(host.memory_total_bytes()), "  swap ",
                   Bar(percent(swap_used, host.swap_total_bytes()), bar / 2), " ",
                   BinarySize(swap_used), "/", BinarySize(host.swap_total_bytes())),
      absl::StrCat("disk ",
                   host.data_disk_total_bytes() == 0
                       ? "-"
                       : absl::StrCat(DecimalSize(disk_used), "/",
                                      DecimalSize(host.data_disk_total_bytes())),
                   " r ", Rate(host.disk_read_bytes_per_second()), " w ",
                   Rate(host.disk_write_bytes_per_second()), "  net rx ",
                   Rate(host.network_receive_bytes_per_second()), " tx ",
                   Rate(host.network_transmit_bytes_per_second()), "  ", HostPressure(host)),
  };
}

struct Widths {
  size_t name = 0;
  size_t stack = 0;
};

Widths WidthsFor(const std::vector<ContainerSample>& rows, const TopScreen& screen) {
  Widths widths{.name = 4, .stack = 5};
  for (const ContainerSample& row : rows) {
    widths.name = std::max(widths.name, Width(row.name()));
    widths.stack = std::max(widths.stack, Width(row.stack()));
  }
  // The figures need this much; the names share the rest.
  constexpr int kFigures = 84;
  const size_t left = std::max(20, screen.columns - kFigures);
  widths.stack = std::min(widths.stack, left / 3);
  widths.name = std::min(widths.name, left - widths.stack);
  return widths;
}

std::string Heading(const Widths& widths, const TopState& state) {
  auto mark = [&](SortBy sort, const char* text) {
    return state.sort == sort ? absl::StrCat(text, state.reverse ? "^" : "v") : std::string(text);
  };
  return absl::StrCat(Left(mark(SortBy::kName, "NAME"), widths.name), " ",
                      Left("STACK", widths.stack), " ", Right(mark(SortBy::kCpu, "CPU%"), 7), " ",
                      Right(mark(SortBy::kMemory, "MEM"), 8), " ", Right("LIMIT", 8), " ",
                      Right("MEM%", 5), " ", Right(mark(SortBy::kNetwork, "NET RX/TX"), 19), " ",
                      Right(mark(SortBy::kBlockIo, "IO R/W"), 17), " ",
                      Right(mark(SortBy::kPids, "PIDS"), 5), "  STATE");
}

std::string Row(const ContainerSample& sample, const Widths& widths) {
  const bool limited = sample.memory_limit_bytes() > 0;
  const double memory_percent =
      limited ? 100.0 * static_cast<double>(sample.memory_working_set_bytes()) /
                    static_cast<double>(sample.memory_limit_bytes())
              : 0;
  std::string state = sample.state();
  if (!sample.health().empty()) absl::StrAppend(&state, " ", sample.health());
  if (sample.cpu_throttled_percent() >= 1) {
    absl::StrAppend(&state, absl::StrFormat(" throttled %.0f%%", sample.cpu_throttled_percent()));
  }
  if (sample.oom_kills() > 0) absl::StrAppend(&state, " oom ", sample.oom_kills());
  if (sample.restart_count() > 0) absl::StrAppend(&state, " restarts ", sample.restart_count());
  return absl::StrCat(Left(sample.name(), widths.name), " ", Left(sample.stack(), widths.stack),
                      " ", Right(absl::StrFormat("%.1f", sample.cpu_percent()), 7), " ",
                      Right(BinarySize(sample.memory_working_set_bytes()), 8), " ",
                      Right(limited ? BinarySize(sample.memory_limit_bytes()) : "-", 8), " ",
                      Right(limited ? absl::StrFormat("%.0f%%", memory_percent) : "-", 5), " ",
                      Right(absl::StrCat(Rate(sample.network_receive_bytes_per_second()), " ",
                                         Rate(sample.network_transmit_bytes_per_second())),
                            19),
                      " ",
                      Right(absl::StrCat(Rate(sample.block_read_bytes_per_second()), " ",
                                         Rate(sample.block_write_bytes_per_second())),
                            17),
                      " ", Right(absl::StrCat(sample.pids()), 5), "  ", state);
}

}  // namespace

std::string Bar(double percent, int width) {
  const int filled = static_cast<int>(std::lround(std::clamp(percent, 0.0, 100.0) / 100 * width));
  return absl::StrCat("[", std::string(filled, '|'), std::string(width - filled, ' '), "]");
}

void TakeKeys(absl::string_view keys, int container_count, TopState& state) {
  auto sort = [&](SortBy by) {
    state.reverse = state.sort == by ? !state.reverse : false;
    state.sort = by;
  };
  for (size_t i = 0; i < keys.size(); ++i) {
    absl::string_view rest = keys.substr(i);
    if (absl::StartsWith(rest, "\x1b[") && rest.size() >= 3) {
      if (rest[2] == 'A') --state.selected;
      if (rest[2] == 'B') ++state.selected;
      // Page keys are ESC [ 5 ~ and ESC [ 6 ~.
      if (rest[2] == '5') state.selected -= 10;
      if (rest[2] == '6') state.selected += 10;
      i += 2;
      continue;
    }
    switch (keys[i]) {
      case 'c':
        sort(SortBy::kCpu);
        break;
      case 'm':
        sort(SortBy::kMemory);
        break;
      case 'n':
        sort(SortBy::kNetwork);
        break;
      case 'i':
        sort(SortBy::kBlockIo);
        break;
      case 'p':
        sort(SortBy::kPids);
        break;
      case 'a':
        sort(SortBy::kName);
        break;
      case 'r':
        state.reverse = !state.reverse;
        break;
      case 'k':
        --state.selected;
        break;
      case 'j':
        ++state.selected;
        break;
      case ' ':
        state.paused = !state.paused;
        break;
      case 'q':
      case '\x03':
        state.quit = true;
        break;
    }
  }
  state.selected = std::clamp(state.selected, 0, std::max(0, container_count - 1));
}

std::vector<ContainerSample> Sorted(const Frame& frame, const TopState& state) {
  std::vector<ContainerSample> rows(frame.containers().begin(), frame.containers().end());
  std::sort(rows.begin(), rows.end(), [&](const ContainerSample& a, const ContainerSample& b) {
    const double first = Weight(a, state.sort);
    const double second = Weight(b, state.sort);
    // Equal ones keep their places from frame to frame: by name.
    if (first != second) return state.reverse ? first < second : first > second;
    return state.reverse && state.sort == SortBy::kName ? a.name() > b.name() : a.name() < b.name();
  });
  return rows;
}

std::vector<std::string> TopLines(const Frame& frame, absl::string_view notice,
                                  const TopScreen& screen, TopState& state) {
  std::vector<std::string> lines = HostLines(frame, screen);
  lines.push_back(std::string(notice));
  const std::vector<ContainerSample> rows = Sorted(frame, state);
  const Widths widths = WidthsFor(rows, screen);
  lines.push_back(Heading(widths, state));
  for (std::string& line : lines) line = Shorten(line, screen.columns);
  if (screen.styled) {
    lines[3] = absl::StrCat(kRed, lines[3], kOff);
    lines[4] = absl::StrCat(kBold, Left(lines[4], screen.columns), kOff);
  }
  const int count = static_cast<int>(rows.size());
  // The last line of a screen says which keys there are.
  const int visible = screen.rows == 0 ? count : std::max(1, screen.rows - kHeaderLines - 1);
  state.selected = std::clamp(state.selected, 0, std::max(0, count - 1));
  if (state.selected < state.scroll) state.scroll = state.selected;
  if (state.selected >= state.scroll + visible) state.scroll = state.selected - visible + 1;
  state.scroll = std::clamp(state.scroll, 0, std::max(0, count - visible));
  for (int i = state.scroll; i < std::min(count, state.scroll + visible); ++i) {
    std::string line = Shorten(Row(rows[i], widths), screen.columns);
    if (screen.styled && i == state.selected) {
      line = absl::StrCat(kInverse, Left(line, screen.columns), kOff);
    }
    lines.push_back(std::move(line));
  }
  if (screen.rows == 0) return lines;
  while (static_cast<int>(lines.size()) < screen.rows - 1) lines.emplace_back();
  lines.push_back(
      Shorten(absl::StrCat(state.paused ? "PAUSED  " : "",
                           "sort: c cpu  m mem  n net  i io  p pids  a name  r reverse  "
                           "arrows move  space pause  q quit"),
              screen.columns));
  return lines;
}

}  // namespace darse::client
