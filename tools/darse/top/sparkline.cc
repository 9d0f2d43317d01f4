#include "tools/darse/top/sparkline.h"

#include <algorithm>
#include <optional>

#include "tools/darse/session/proto_time.h"

namespace darse::client {

std::string Sparkline(const std::vector<darse::metrics::v1::Point>& points, absl::Time start,
                      absl::Time end, int width) {
  static constexpr const char* kLevels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<std::optional<double>> columns(width);
  double lowest = 0;
  double highest = 0;
  const double span = absl::ToDoubleSeconds(end - start);
  for (const auto& point : points) {
    const double at = absl::ToDoubleSeconds(ToTime(point.time()) - start) / span;
    if (at < 0 || at > 1) continue;
    std::optional<double>& column = columns[std::min(width - 1, static_cast<int>(at * width))];
    column = std::max(column.value_or(point.average()), point.average());
    lowest = std::min(lowest, point.average());
    highest = std::max(highest, point.average());
  }
  std::string out;
  for (const std::optional<double>& column : columns) {
    if (!column) {
      out += " ";
      continue;
    }
    const double share = highest > lowest ? (*column - lowest) / (highest - lowest) : 0;
    out += kLevels[std::clamp(static_cast<int>(share * 8), 0, 7)];
  }
  return out;
}

}  // namespace darse::client
