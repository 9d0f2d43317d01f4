#include "tools/darse/container/log_lines.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {

using namespace darse::runtime::v1;  // NOLINT: message names only

std::string LogPrinter::Text(const LogLine& line) {
  bool& goes_on = goes_on_[std::clamp<int>(line.stream(), 0, 2)];
  std::string text;
  if (!goes_on && !format_.name.empty()) {
    const std::string padding(
        format_.name_width > format_.name.size() ? format_.name_width - format_.name.size() : 0,
        ' ');
    const std::string prefix = absl::StrCat(format_.name, padding, " | ");
    absl::StrAppend(&text, format_.color != 0
                               ? absl::StrCat("\x1b[", format_.color, "m", prefix, "\x1b[0m")
                               : prefix);
  }
  if (!goes_on && format_.timestamps) {
    absl::StrAppend(
        &text, absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", ToTime(line.time()), absl::UTCTimeZone()),
        " ");
  }
  text += line.text();
  goes_on = line.partial();
  if (!goes_on) text += '\n';
  return text;
}

}  // namespace darse::client
