// Reads a container's log: files `current`, `current.1` (the one before), `current.2`, …, each of
// lines
//   <RFC 3339 time with nanoseconds> stdout|stderr F|P <text>\n
// where P means that the line goes on in the next one of the same stream.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/unique_fd.h"

namespace darse::runtime {

struct LogRecord {
  absl::Time time;
  bool is_stderr = false;
  bool partial = false;
  std::string text;

  bool operator==(const LogRecord&) const = default;
};

// `line` without its newline; empty for what is no such line.
std::optional<LogRecord> ParseLogLine(absl::string_view line);

struct LogFilter {
  bool want_stdout = true;
  bool want_stderr = true;
  absl::Time since = absl::InfinitePast();
  absl::Time until = absl::InfiniteFuture();
  // Only the newest lines; negative: all.
  int64_t tail = -1;
};

// Follows a log over rotations. One thread at a time.
class LogReader {
 public:
  LogReader(std::string directory, LogFilter filter);

  // What is there since the last call, in batches; empty: nothing more at present. A line whose
  // newline is not written yet stays for the next call.
  absl::StatusOr<std::vector<LogRecord>> Next();
  // True once a record after `until` was seen: there will be no more.
  bool past_end() const { return past_end_; }

 private:
  std::string PathOf(int index) const;
  std::optional<int> IndexOf(ino_t inode) const;
  absl::Status Start();
  absl::Status SeekToTail();
  bool OpenFile(int index);
  bool Wanted(const LogRecord& record) const;
  // False at the end of this file.
  absl::StatusOr<bool> Fill();
  bool MoveToNextFile();

  const std::string directory_;
  const LogFilter filter_;
  bool started_ = false;
  bool past_end_ = false;
  UniqueFd file_;
  ino_t inode_ = 0;
  // Read, not yet answered.
  std::string pending_;
};

}  // namespace darse::runtime
