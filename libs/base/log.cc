#include "libs/base/log.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace darse {
namespace {

// Written once by InitLog before threads exist; never destroyed, since late threads may still log.
std::string& Service() {
  static std::string* service = new std::string("darse");
  return *service;
}
LogLevel least_level = LogLevel::kInfo;

absl::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  for (char c : value) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 127) return true;
  }
  return false;
}

void AppendField(std::string& line, absl::string_view key, absl::string_view value) {
  if (!line.empty()) line += ' ';
  if (NeedsQuotes(value)) {
    absl::StrAppend(&line, key, "=\"", absl::Utf8SafeCEscape(value), "\"");
  } else {
    absl::StrAppend(&line, key, "=", value);
  }
}

}  // namespace

void InitLog(absl::string_view service, LogLevel least) {
  Service() = std::string(service);
  least_level = least;
}

std::string FormatLogLine(absl::string_view time, LogLevel level, absl::string_view service,
                          absl::string_view message, std::initializer_list<LogField> fields) {
  std::string line;
  AppendField(line, "time", time);
  AppendField(line, "level", LevelName(level));
  AppendField(line, "service", service);
  AppendField(line, "msg", message);
  for (const LogField& field : fields) AppendField(line, field.first, field.second);
  return line;
}

void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields) {
  if (level < least_level) return;
  std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  std::string line = FormatLogLine(time, level, Service(), message, fields);
  line += '\n';
  // A log that cannot be written has nowhere to complain to.
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace darse
