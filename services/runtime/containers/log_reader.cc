#include "services/runtime/containers/log_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

constexpr size_t kReadAtOnce = 256 << 10;
constexpr size_t kMaxBatch = 512;
constexpr size_t kMaxBatchBytes = 1 << 20;
// More files than anybody keeps.
constexpr int kMaxFiles = 1000;

}  // namespace

std::optional<LogRecord> ParseLogLine(absl::string_view line) {
  LogRecord record;
  size_t space = line.find(' ');
  if (space == absl::string_view::npos) return std::nullopt;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, line.substr(0, space), &record.time, &error)) {
    return std::nullopt;
  }
  line.remove_prefix(space + 1);
  space = line.find(' ');
  if (space == absl::string_view::npos) return std::nullopt;
  absl::string_view stream = line.substr(0, space);
  if (stream != "stdout" && stream != "stderr") return std::nullopt;
  record.is_stderr = stream == "stderr";
  line.remove_prefix(space + 1);
  if (line.empty() || (line[0] != 'F' && line[0] != 'P')) return std::nullopt;
  record.partial = line[0] == 'P';
  line.remove_prefix(1);
  // An empty line may have lost its blank.
  if (!line.empty()) line.remove_prefix(1);
  record.text = std::string(line);
  return record;
}

LogReader::LogReader(std::string directory, LogFilter filter)
    : directory_(std::move(directory)), filter_(filter) {}

std::string LogReader::PathOf(int index) const {
  std::string path = JoinPath(directory_, "current");
  if (index > 0) absl::StrAppend(&path, ".", index);
  return path;
}

std::optional<int> LogReader::IndexOf(ino_t inode) const {
  for (int index = 0; index < kMaxFiles; ++index) {
    struct stat status;
    if (stat(PathOf(index).c_str(), &status) != 0) {
      // `current` is away for a moment while files are rotated.
      if (index == 0) continue;
      return std::nullopt;
    }
    if (status.st_ino == inode) return index;
  }
  return std::nullopt;
}

bool LogReader::OpenFile(int index) {
  UniqueFd file(open(PathOf(index).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status;
  if (!file.valid() || fstat(file.get(), &status) != 0) return false;
  file_ = std::move(file);
  inode_ = status.st_ino;
  return true;
}

bool LogReader::Wanted(const LogRecord& record) const {
  return (record.is_stderr ? filter_.want_stderr : filter_.want_stdout) &&
         record.time >= filter_.since && record.time <= filter_.until;
}

// Opens the file with the oldest line to answer, at that line. Stays unstarted while there is no
// log.
absl::Status LogReader::Start() {
  if (filter_.tail >= 0) return SeekToTail();
  int oldest = 0;
  while (oldest + 1 < kMaxFiles && Exists(PathOf(oldest + 1))) ++oldest;
  started_ = OpenFile(oldest);
  return absl::OkStatus();
}

absl::Status LogReader::SeekToTail() {
  int64_t left = filter_.tail;
  for (int index = 0; index < kMaxFiles; ++index) {
    absl::StatusOr<std::string> content = ReadFile(PathOf(index));
    if (absl::IsNotFound(content.status())) break;
    RETURN_IF_ERROR(content.status());
    // Whole lines only; the rest is not written yet.
    size_t end = content->rfind('\n');
    size_t start = end == std::string::npos ? 0 : end + 1;
    size_t found_at = start;
    while (start > 0) {
      size_t before = start >= 2 ? content->rfind('\n', start - 2) : std::string::npos;
      size_t begin = before == std::string::npos ? 0 : before + 1;
      std::optional<LogRecord> record =
          ParseLogLine(absl::string_view(*content).substr(begin, start - 1 - begin));
      if (record && Wanted(*record) && !record->partial && left-- == 0) break;
      start = begin;
      found_at = begin;
    }
    bool enough = left < 0;
    if (index == 0 || !enough || found_at < content->size()) {
      if (!OpenFile(index)) return absl::UnavailableError("the log was rotated: read it again");
      started_ = true;
      if (lseek(file_.get(), static_cast<off_t>(found_at), SEEK_SET) < 0) {
        return absl::ErrnoToStatus(errno, "seek in the log");
      }
    }
    if (enough) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LogReader::Fill() {
  size_t had = pending_.size();
  pending_.resize(had + kReadAtOnce);
  ssize_t got;
  do {
    got = read(file_.get(), pending_.data() + had, kReadAtOnce);
  } while (got < 0 && errno == EINTR);
  pending_.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) return absl::ErrnoToStatus(errno, "read the log");
  return got > 0;
}

bool LogReader::MoveToNextFile() {
  std::optional<int> index = IndexOf(inode_);
  if (index == 0) return false;
  // Our file was rotated away altogether: go on with the oldest.
  int next = index ? *index - 1 : 0;
  if (!index) {
    while (next + 1 < kMaxFiles && Exists(PathOf(next + 1))) ++next;
  }
  return OpenFile(next);
}

absl::StatusOr<std::vector<LogRecord>> LogReader::Next() {
  std::vector<LogRecord> records;
  if (!started_) RETURN_IF_ERROR(Start());
  size_t bytes = 0;
  while (started_ && !past_end_ && records.size() < kMaxBatch && bytes < kMaxBatchBytes) {
    size_t newline = pending_.find('\n');
    if (newline == std::string::npos) {
      ASSIGN_OR_RETURN(bool more, Fill());
      if (more) continue;
      if (!MoveToNextFile()) break;
      // Its writer ended in the middle of a line.
      pending_.clear();
      continue;
    }
    size_t start = 0;
    while (newline != std::string::npos && records.size() < kMaxBatch && bytes < kMaxBatchBytes) {
      std::optional<LogRecord> record =
          ParseLogLine(absl::string_view(pending_).substr(start, newline - start));
      start = newline + 1;
      newline = pending_.find('\n', start);
      if (!record) continue;
      if (record->time > filter_.until) {
        past_end_ = true;
        break;
      }
      if (!Wanted(*record)) continue;
      bytes += record->text.size();
      records.push_back(*std::move(record));
    }
    pending_.erase(0, start);
  }
  return records;
}

}  // namespace darse::runtime
