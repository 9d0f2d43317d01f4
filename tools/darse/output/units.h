// Sizes, times and durations as people read them, and as they write them after a flag.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace darse::client {

// Powers of 1000 with about three digits, as `docker images`: "117MB", "1.2kB", "0B".
std::string DecimalSize(int64_t bytes);
// Powers of 1024, as `docker stats`: "1.94MiB".
std::string BinarySize(int64_t bytes);
// "512", "64k", "1.5g", "2GiB": powers of 1024, as Docker reads them.
absl::StatusOr<int64_t> ParseSize(absl::string_view text);
// Go's durations ("1h30m", "90s", "250ms"), and a plain number of seconds.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);
// "2024-05-01T12:00:00Z", "2024-05-01", unix seconds, or a duration before `now` ("10m").
absl::StatusOr<absl::Time> ParseMoment(absl::string_view text, absl::Time now);

// "About a minute", "3 hours", "Less than a second".
std::string RoughDuration(absl::Duration duration);
// "3 hours ago"; "" for a time that is not set (1970).
std::string Ago(absl::Time then, absl::Time now);
// "2024-05-01 12:00:00 +0000 UTC", as docker's CreatedAt.
std::string Stamp(absl::Time time);
// "12:01:07", or with the date if it is not today's.
std::string ClockTime(absl::Time time, absl::Time now);

// First `width` characters, not cut inside a UTF-8 character; "…" at the end where cut.
std::string Shorten(absl::string_view text, size_t width);
// Columns that text takes on a terminal, counting each UTF-8 character as one.
size_t Width(absl::string_view text);
// An id as lists show it: without "sha256:", 12 digits.
std::string ShortId(absl::string_view id);

}  // namespace darse::client
