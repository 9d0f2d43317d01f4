#include "libs/os/process_identity.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse {

absl::StatusOr<ProcessIdentity> IdentifyProcess(pid_t pid) {
  absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  // A process that ends while it is read answers ESRCH.
  if (!stat.ok()) return absl::NotFoundError(absl::StrCat("process ", pid, ": not running"));
  // The name may hold spaces and parentheses; it ends at the last ")". Field 3 comes next.
  size_t end = stat->rfind(')');
  if (end == std::string::npos) return absl::InternalError(absl::StrCat("stat of ", pid));
  std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*stat).substr(end + 1), ' ', absl::SkipEmpty());
  ProcessIdentity identity{.pid = pid};
  if (fields.size() < 20 || !absl::SimpleAtoi(fields[19], &identity.start_time)) {
    return absl::InternalError(absl::StrCat("stat of ", pid, ": no start time"));
  }
  if (fields[0] == "Z" || fields[0] == "X") {
    return absl::NotFoundError(absl::StrCat("process ", pid, ": has exited"));
  }
  return identity;
}

bool IsAlive(const ProcessIdentity& process) {
  absl::StatusOr<ProcessIdentity> now = IdentifyProcess(process.pid);
  return now.ok() && *now == process;
}

absl::StatusOr<UniqueFd> OpenProcess(const ProcessIdentity& process) {
  if (process.pid <= 0) return absl::InvalidArgumentError(absl::StrCat("no pid: ", process.pid));
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("process ", process.pid));
  // Asked after opening: the descriptor keeps naming the same process.
  if (!IsAlive(process)) {
    return absl::NotFoundError(absl::StrCat("process ", process.pid, ": gone"));
  }
  return fd;
}

absl::Status KillProcess(const ProcessIdentity& process, int signal) {
  absl::StatusOr<UniqueFd> fd = OpenProcess(process);
  if (!fd.ok()) return absl::NotFoundError(fd.status().message());
  if (::syscall(SYS_pidfd_send_signal, fd->get(), signal, nullptr, 0) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("signal ", process.pid));
  }
  return absl::OkStatus();
}

std::string FormatIdentity(const ProcessIdentity& process) {
  return absl::StrCat(process.pid, " ", process.start_time, "\n");
}

absl::StatusOr<ProcessIdentity> ParseIdentity(absl::string_view text) {
  std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  ProcessIdentity identity;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &identity.pid) || identity.pid <= 0 ||
      !absl::SimpleAtoi(words[1], &identity.start_time)) {
    return absl::InvalidArgumentError(
        absl::StrCat("process identity \"", text, "\": not \"<pid> <start time>\""));
  }
  return identity;
}

absl::Status WriteIdentityFile(absl::string_view path, const ProcessIdentity& process) {
  return WriteFileVolatile(path, FormatIdentity(process));
}

absl::StatusOr<ProcessIdentity> ReadIdentityFile(absl::string_view path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  return Annotate(ParseIdentity(text), path);
}

absl::Status WriteOwnPidFile(absl::string_view path) {
  return WriteFileVolatile(path, absl::StrCat(::getpid(), "\n"));
}

}  // namespace darse
