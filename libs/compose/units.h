// The small notations of compose files: "512m", "1m30s", "0.5", and a shell's words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace darse::compose {

// "1073741824", "512m", "1.5gb": b, k, kb, m, mb, g, gb, t, tb (also kib …), each 1024 times the
// one before.
std::optional<int64_t> ParseBytes(absl::string_view text);
// "90s", "1m30s", "1.5h", "100ms", "us", "ns"; "0" alone. Not negative.
std::optional<absl::Duration> ParseDuration(absl::string_view text);
// "0.5" cores -> 500 000 000.
std::optional<int64_t> ParseNanoCpus(absl::string_view text);
// Splits as a shell does, with quotes and backslashes, without expanding anything. INVALID_ARGUMENT
// for an open quote.
absl::StatusOr<std::vector<std::string>> SplitWords(absl::string_view text);
// "a/../b" against `directory`; "~/x" against `home`. Absolute and without "." and "..".
std::string AbsolutePath(absl::string_view path, absl::string_view directory,
                         absl::string_view home);

}  // namespace darse::compose
