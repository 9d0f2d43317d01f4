#include "libs/linux/cgroup/cgroup_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"

namespace darse::cgroup {

absl::Status WriteFile(const std::string& path, absl::string_view content) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  ssize_t wrote;
  do {
    wrote = write(file.get(), content.data(), content.size());
  } while (wrote < 0 && errno == EINTR);
  if (wrote < 0) return SyscallError(errno, absl::StrCat("write \"", content, "\" to ", path));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  std::string content;
  char buffer[4096];
  for (;;) {
    ssize_t got = read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SyscallError(errno, absl::StrCat("read ", path));
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
  }
}

uint64_t ReadNumber(const std::string& path, uint64_t otherwise) {
  absl::StatusOr<std::string> content = ReadFile(path);
  uint64_t number = 0;
  if (!content.ok() || !absl::SimpleAtoi(*content, &number)) return otherwise;
  return number;
}

std::map<std::string, uint64_t> ReadKeyed(const std::string& path) {
  std::map<std::string, uint64_t> keyed;
  absl::StatusOr<std::string> content = ReadFile(path);
  if (!content.ok()) return keyed;
  for (absl::string_view line : absl::StrSplit(*content, '\n', absl::SkipEmpty())) {
    std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    uint64_t value = 0;
    if (absl::SimpleAtoi(parts.second, &value)) keyed[std::string(parts.first)] = value;
  }
  return keyed;
}

std::optional<Pressure> ReadPressure(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path);
  if (!content.ok()) return std::nullopt;
  Pressure pressure;
  unsigned long long some = 0, full = 0;
  int read = sscanf(content->c_str(),
                    "some avg10=%lf avg60=%lf avg300=%lf total=%llu full avg10=%lf avg60=%lf "
                    "avg300=%lf total=%llu",
                    &pressure.some_avg10, &pressure.some_avg60, &pressure.some_avg300, &some,
                    &pressure.full_avg10, &pressure.full_avg60, &pressure.full_avg300, &full);
  if (read < 4) return std::nullopt;
  pressure.some_total_us = some;
  pressure.full_total_us = full;
  return pressure;
}

bool FileExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::Status MakeDirectories(const std::string& mount, const std::string& path) {
  std::string directory = mount;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    absl::StrAppend(&directory, "/", part);
    if (mkdir(directory.c_str(), 0755) < 0 && errno != EEXIST) {
      return SyscallError(errno, absl::StrCat("mkdir ", directory));
    }
  }
  return absl::OkStatus();
}

namespace {

// rmdir of a cgroup says EBUSY for a moment after its last process was reaped.
absl::Status RemoveOne(const std::string& directory) {
  constexpr int kAttempts = 100;
  for (int attempt = 0;; ++attempt) {
    if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) return SyscallError(errno, absl::StrCat("rmdir ", directory));
    absl::StatusOr<std::string> processes = ReadFile(directory + "/cgroup.procs");
    if (attempt == kAttempts || (processes.ok() && !processes->empty() && attempt > 20)) {
      return absl::FailedPreconditionError(absl::StrCat("rmdir ", directory, ": it has processes"));
    }
    timespec pause = {.tv_sec = 0, .tv_nsec = 1'000'000 + attempt * 100'000};
    nanosleep(&pause, nullptr);
  }
}

std::vector<std::string> Subdirectories(const std::string& directory) {
  std::vector<std::string> found;
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) return found;
  while (dirent* entry = readdir(stream)) {
    absl::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") {
      found.push_back(absl::StrCat(directory, "/", name));
    }
  }
  closedir(stream);
  return found;
}

}  // namespace

absl::Status RemoveTree(const std::string& directory) {
  if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  for (const std::string& below : Subdirectories(directory)) RETURN_IF_ERROR(RemoveTree(below));
  return RemoveOne(directory);
}

absl::Status ListProcesses(const std::string& directory, std::vector<pid_t>& pids) {
  ASSIGN_OR_RETURN(std::string content, ReadFile(directory + "/cgroup.procs"));
  for (absl::string_view line : absl::StrSplit(content, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(line, &pid)) pids.push_back(pid);
  }
  for (const std::string& below : Subdirectories(directory)) {
    // One that goes meanwhile has no processes.
    absl::Status listed = ListProcesses(below, pids);
    if (!listed.ok() && !absl::IsNotFound(listed) && ErrnoOf(listed) != ENODEV) return listed;
  }
  return absl::OkStatus();
}

}  // namespace darse::cgroup
