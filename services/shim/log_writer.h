// The log files of one container, in the format of Kubernetes' CRI:
//   2026-01-02T03:04:05.123456789Z stdout F a whole line
//   2026-01-02T03:04:05.123456789Z stderr P the first part of a long line, or one whose end never
//   came
// `<dir>/current` is written; above the size limit it becomes current.1, that one current.2, and so
// on. A file ends with a whole entry. The time is when the shim read the text.
//
// A full disk does not stop the container: what cannot be written is counted, and once writing
// works again the log says how much is missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"
#include "services/shim/shim_config.h"

namespace darse::shim {

enum class LogStream : uint8_t { kStdout = 0, kStderr = 1 };

// One thread only. Writes in large pieces: call Flush when no more text is at hand.
class LogWriter {
 public:
  explicit LogWriter(LogOptions options) : options_(std::move(options)) {}

  // Makes the directory, opens or continues `current`. With an empty dir everything is dropped.
  absl::Status Open();
  // Any piece of output, lines cut anywhere. `time_ns` since the epoch.
  void Write(LogStream stream, absl::string_view text, int64_t time_ns);
  void Flush();
  // Until the next Write.
  void ReleaseBuffer();
  // The end of a line that has none, marked partial (more may come from a restarted process: it
  // starts on a line of its own, so then `line_ends`).
  void EndLine(LogStream stream, int64_t time_ns, bool line_ends);

 private:
  // Longest text of one entry; a longer line is cut into partial ones.
  static constexpr size_t kLongestText = 8 << 10;
  static constexpr size_t kBuffer = 16 << 10;

  void Append(LogStream stream, char mark, absl::string_view text, int64_t time_ns);
  void FormatTime(int64_t time_ns);
  void WriteOut(const char* data, size_t size);
  absl::Status Rotate();
  std::string PathOf(int number) const;

  const LogOptions options_;
  UniqueFd file_;
  int64_t size_ = 0;
  uint64_t lost_bytes_ = 0;
  // Text of a line whose end has not been read yet.
  std::string pending_[2];
  std::unique_ptr<char[]> buffer_;  // while there is something in it
  size_t used_ = 0;
  // Filled up to the second once a second.
  int64_t formatted_second_ = -1;
  char time_[32];
};

}  // namespace darse::shim
