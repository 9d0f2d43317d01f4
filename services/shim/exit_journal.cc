#include "services/shim/exit_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"

namespace darse::shim {

absl::Status ExitJournalFile::Open(const std::string& path, bool durable) {
  path_ = path;
  durable_ = durable;
  file_.Reset(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file_.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  std::string content;
  char buffer[1024];
  for (ssize_t got; (got = read(file_.get(), buffer, sizeof(buffer))) > 0;) {
    content.append(buffer, static_cast<size_t>(got));
  }
  ASSIGN_OR_RETURN(ExitJournal journal, DecodeExitJournal(content));
  if (journal.complete_bytes < content.size() &&
      ftruncate(file_.get(), static_cast<off_t>(journal.complete_bytes)) < 0) {
    return SyscallError(errno, absl::StrCat("cut the torn end off ", path));
  }
  // One that is empty may have been made just now.
  name_is_durable_ = !journal.records.empty();
  if (!journal.records.empty()) last_sequence_ = journal.records.back().sequence;
  return absl::OkStatus();
}

absl::Status ExitJournalFile::MakeNameDurable() {
  if (name_is_durable_ || !durable_) return absl::OkStatus();
  UniqueFd directory(open(path_.substr(0, path_.rfind('/')).c_str(), O_RDONLY | O_CLOEXEC));
  if (fsync(directory.get()) < 0) return SyscallError(errno, "fsync of the state directory");
  name_is_durable_ = true;
  return absl::OkStatus();
}

absl::Status ExitJournalFile::Append(ExitRecord& record) {
  RETURN_IF_ERROR(MakeNameDurable());
  record.sequence = last_sequence_ + 1;
  std::string line = EncodeExitRecord(record);
  off_t before = lseek(file_.get(), 0, SEEK_END);
  ssize_t wrote = write(file_.get(), line.data(), line.size());
  int error = wrote < 0 ? errno : ENOSPC;
  if (wrote == static_cast<ssize_t>(line.size())) {
    if (!durable_ || fdatasync(file_.get()) == 0) {
      last_sequence_ = record.sequence;
      return absl::OkStatus();
    }
    error = errno;
  }
  if (ftruncate(file_.get(), before) < 0) return SyscallError(errno, "cut a torn exit record off");
  return SyscallError(error, "write the exit record");
}

}  // namespace darse::shim
