#include "services/shim/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"

namespace darse::shim {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
// "2026-01-02T03:04:05." and then nine digits and "Z".
constexpr size_t kSecondLength = 20;
constexpr size_t kTimeLength = kSecondLength + 10;
constexpr const char* kStreamNames[] = {" stdout ", " stderr "};
constexpr size_t kPrefixLength = kTimeLength + 8 + 2;

}  // namespace

std::string LogWriter::PathOf(int number) const {
  std::string path = absl::StrCat(options_.dir, "/current");
  if (number > 0) absl::StrAppend(&path, ".", number);
  return path;
}

absl::Status LogWriter::Open() {
  if (options_.dir.empty()) return absl::OkStatus();
  if (mkdir(options_.dir.c_str(), 0700) < 0 && errno != EEXIST) {
    return SyscallError(errno, absl::StrCat("mkdir ", options_.dir));
  }
  std::string path = PathOf(0);
  file_.Reset(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file_.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  size_ = lseek(file_.get(), 0, SEEK_END);
  // A predecessor that was killed, or a power cut, may have left half an entry.
  char last = '\n';
  if (size_ > 0 && pread(file_.get(), &last, 1, size_ - 1) == 1 && last != '\n') WriteOut("\n", 1);
  return absl::OkStatus();
}

absl::Status LogWriter::Rotate() {
  for (int number = options_.max_files - 1; number > 0; --number) {
    if (rename(PathOf(number - 1).c_str(), PathOf(number).c_str()) < 0 && errno != ENOENT) {
      return SyscallError(errno, "rotate the log");
    }
  }
  std::string path = PathOf(0);
  if (options_.max_files == 1) unlink(path.c_str());
  UniqueFd next(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!next.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  file_ = std::move(next);
  size_ = lseek(file_.get(), 0, SEEK_END);
  return absl::OkStatus();
}

void LogWriter::FormatTime(int64_t time_ns) {
  int64_t second = time_ns / kSecondNs;
  int64_t rest = time_ns % kSecondNs;
  if (second != formatted_second_) {
    time_t seconds = second;
    tm parts;
    gmtime_r(&seconds, &parts);
    strftime(time_, sizeof(time_), "%Y-%m-%dT%H:%M:%S.", &parts);
    formatted_second_ = second;
  }
  for (size_t i = kSecondLength + 9; i > kSecondLength; --i) {
    time_[i - 1] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  }
  time_[kSecondLength + 9] = 'Z';
}

void LogWriter::Append(LogStream stream, char mark, absl::string_view text, int64_t) {
  size_t size = kPrefixLength + text.size() + 1;
  if (used_ + size > kBuffer) Flush();
  if (buffer_ == nullptr) buffer_.reset(new char[kBuffer]);
  char* out = buffer_.get() + used_;
  memcpy(out, time_, kTimeLength);
  memcpy(out + kTimeLength, kStreamNames[static_cast<int>(stream)], 8);
  out[kTimeLength + 8] = mark;
  out[kTimeLength + 9] = ' ';
  memcpy(out + kPrefixLength, text.data(), text.size());
  out[size - 1] = '\n';
  used_ += size;
}

void LogWriter::Write(LogStream stream, absl::string_view text, int64_t time_ns) {
  if (!file_.valid()) return;
  FormatTime(time_ns);
  std::string& pending = pending_[static_cast<int>(stream)];
  while (!text.empty()) {
    const void* newline = memchr(text.data(), '\n', text.size());
    size_t length =
        newline == nullptr ? text.size() : static_cast<const char*>(newline) - text.data();
    size_t room = kLongestText - pending.size();
    if (length > room) {
      // Longer than one entry: what fits goes out as a part.
      if (pending.empty()) {
        Append(stream, 'P', text.substr(0, room), time_ns);
      } else {
        pending.append(text.data(), room);
        Append(stream, 'P', pending, time_ns);
        pending.clear();
      }
      text.remove_prefix(room);
      continue;
    }
    if (newline == nullptr) {
      pending.append(text.data(), length);
      return;
    }
    if (pending.empty()) {
      Append(stream, 'F', text.substr(0, length), time_ns);
    } else {
      pending.append(text.data(), length);
      Append(stream, 'F', pending, time_ns);
      pending.clear();
    }
    text.remove_prefix(length + 1);
  }
}

void LogWriter::EndLine(LogStream stream, int64_t time_ns, bool line_ends) {
  std::string& pending = pending_[static_cast<int>(stream)];
  if (pending.empty()) return;
  FormatTime(time_ns);
  Append(stream, line_ends ? 'F' : 'P', pending, time_ns);
  pending.clear();
}

void LogWriter::Flush() {
  if (used_ == 0) return;
  if (lost_bytes_ > 0) {
    char note[160];
    int length = snprintf(
        note, sizeof(note), "%.*s stderr F darse-shim: %llu bytes of output are missing here\n",
        static_cast<int>(kTimeLength), time_, static_cast<unsigned long long>(lost_bytes_));
    uint64_t lost = lost_bytes_;
    lost_bytes_ = 0;
    WriteOut(note, static_cast<size_t>(length));
    // Still no room: the note itself does not count.
    if (lost_bytes_ > 0) lost_bytes_ = lost;
  }
  if (size_ > 0 && size_ + static_cast<int64_t>(used_) > options_.max_size_bytes) {
    // If the files cannot be turned over, the old one grows on: better than losing text.
    Rotate().IgnoreError();
  }
  WriteOut(buffer_.get(), used_);
  used_ = 0;
}

void LogWriter::ReleaseBuffer() {
  Flush();
  buffer_.reset();
}

void LogWriter::WriteOut(const char* data, size_t size) {
  int64_t before = size_;
  size_t done = 0;
  while (done < size) {
    ssize_t wrote = write(file_.get(), data + done, size - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) break;
    done += static_cast<size_t>(wrote);
  }
  size_ += static_cast<int64_t>(done);
  if (done == size) return;
  lost_bytes_ += size;
  // Half an entry would spoil the next one.
  if (ftruncate(file_.get(), before) == 0) size_ = before;
}

}  // namespace darse::shim
