#include "tools/darse/output/units.h"

#include <array>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace darse::client {
namespace {

std::string Scaled(double bytes, double step, const std::array<const char*, 6>& units,
                   const char* format_g) {
  size_t unit = 0;
  while (std::abs(bytes) >= step && unit + 1 < units.size()) {
    bytes /= step;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, format_g, bytes);
  return absl::StrCat(text, units[unit]);
}

bool StartsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

std::string DecimalSize(int64_t bytes) {
  return Scaled(static_cast<double>(bytes), 1000, {"B", "kB", "MB", "GB", "TB", "PB"}, "%.3g");
}

std::string BinarySize(int64_t bytes) {
  return Scaled(static_cast<double>(bytes), 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}, "%.4g");
}

absl::StatusOr<int64_t> ParseSize(absl::string_view text) {
  std::string lower = absl::AsciiStrToLower(absl::StripAsciiWhitespace(text));
  absl::string_view rest = lower;
  if (!absl::ConsumeSuffix(&rest, "ib")) absl::ConsumeSuffix(&rest, "b");
  double factor = 1;
  static constexpr absl::string_view kUnits = "kmgtp";
  if (!rest.empty()) {
    size_t unit = kUnits.find(rest.back());
    if (unit != absl::string_view::npos) {
      factor = std::pow(1024, static_cast<double>(unit) + 1);
      rest.remove_suffix(1);
    }
  }
  double value;
  rest = absl::StripAsciiWhitespace(rest);
  if (rest.empty() || !absl::ascii_isdigit(rest[0]) || !absl::SimpleAtod(rest, &value) ||
      value * factor > 9e18) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no size: write bytes or a number with k, m or g (512m)"));
  }
  return static_cast<int64_t>(value * factor);
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  int64_t seconds;
  if (absl::SimpleAtoi(text, &seconds)) return absl::Seconds(seconds);
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration)) return duration;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no duration: write 90s, 1m30s or 250ms"));
}

absl::StatusOr<absl::Time> ParseMoment(absl::string_view text, absl::Time now) {
  double seconds;
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  for (const char* format :
       {"%Y-%m-%dT%H:%M:%E*S", "%Y-%m-%d %H:%M:%E*S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, text, absl::LocalTimeZone(), &time, &error)) return time;
  }
  if (absl::SimpleAtod(text, &seconds)) return absl::UnixEpoch() + absl::Seconds(seconds);
  absl::Duration before;
  if (absl::ParseDuration(text, &before)) return now - before;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text,
                   "\" is no time: write 10m (ago), 2024-05-01T12:00:00Z, or seconds "
                   "since 1970"));
}

std::string RoughDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  const int64_t minutes = seconds / 60;
  const int64_t hours = (minutes + 30) / 60;
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return absl::StrCat(seconds, " seconds");
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return absl::StrCat(minutes, " minutes");
  if (hours == 1) return "About an hour";
  if (hours < 48) return absl::StrCat(hours, " hours");
  if (hours < 24 * 7 * 2) return absl::StrCat(hours / 24, " days");
  if (hours < 24 * 30 * 2) return absl::StrCat(hours / 24 / 7, " weeks");
  if (hours < 24 * 365 * 2) return absl::StrCat(hours / 24 / 30, " months");
  return absl::StrCat(hours / 24 / 365, " years");
}

std::string Ago(absl::Time then, absl::Time now) {
  if (then <= absl::UnixEpoch()) return "";
  return RoughDuration(now - then) + " ago";
}

std::string Stamp(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S %z %Z", time, absl::LocalTimeZone());
}

std::string ClockTime(absl::Time time, absl::Time now) {
  const absl::TimeZone zone = absl::LocalTimeZone();
  const bool today = absl::ToCivilDay(time, zone) == absl::ToCivilDay(now, zone);
  return absl::FormatTime(today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", time, zone);
}

std::string Shorten(absl::string_view text, size_t width) {
  if (Width(text) <= width) return std::string(text);
  size_t end = 0;
  size_t taken = 0;
  while (end < text.size()) {
    if (StartsCharacter(text[end]) && taken++ == width - 1) break;
    ++end;
  }
  return absl::StrCat(text.substr(0, end), "…");
}

size_t Width(absl::string_view text) {
  size_t width = 0;
  for (char c : text) width += StartsCharacter(c);
  return width;
}

std::string ShortId(absl::string_view id) {
  absl::ConsumePrefix(&id, "sha256:");
  return std::string(id.substr(0, 12));
}

}  // namespace darse::client
