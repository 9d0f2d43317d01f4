// One structured line an event, on stderr, in logfmt:
//   time=2026-01-02T03:04:05.678Z level=info service=runtime msg="container started" id=ab12
// Only loops, `_rpc` adaptors and main log; everything else returns a status.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace darse {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogField = std::pair<absl::string_view, std::string>;

// Names this process in every line; lines below `least` are dropped. Call once, from main.
void InitLog(absl::string_view service, LogLevel least);

// Thread-safe: a line is one write(2).
void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields = {});

// The line without the newline, for tests and for who writes elsewhere.
std::string FormatLogLine(absl::string_view time, LogLevel level, absl::string_view service,
                          absl::string_view message, std::initializer_list<LogField> fields);

}  // namespace darse
