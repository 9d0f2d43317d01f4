#include "services/runtime/unpack/unpack_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

constexpr size_t kMaxReport = 64 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<UnpackChild>> UnpackChild::Start(const std::string& program,
                                                                std::vector<std::string> args,
                                                                int directory) {
  int input[2];
  int report[2];
  if (pipe2(input, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  UniqueFd input_read(input[0]), input_write(input[1]);
  if (pipe2(report, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  UniqueFd report_read(report[0]), report_write(report[1]);
  // Fewer switches between writer and reader; smaller is fine.
  fcntl(input_write.get(), F_SETPIPE_SZ, 1 << 20);
  ASSIGN_OR_RETURN(Process process, Process::Spawn({.program = program,
                                                    .args = std::move(args),
                                                    .env = std::vector<std::string>(),
                                                    .fds = {{input_read.get(), 0},
                                                            {STDERR_FILENO, 2},
                                                            {directory, 3},
                                                            {report_write.get(), 4}}}));
  return std::unique_ptr<UnpackChild>(
      new UnpackChild(std::move(process), std::move(input_write), std::move(report_read)));
}

UnpackChild::UnpackChild(Process process, UniqueFd input, UniqueFd report)
    : process_(std::move(process)),
      input_(std::move(input)),
      report_(std::move(report)),
      reader_([this] { ReadReport(); }) {}

UnpackChild::~UnpackChild() {
  input_.Reset();
  if (!waited_) {
    process_.Kill(SIGKILL).IgnoreError();
    process_.Wait().status().IgnoreError();
  }
  if (reader_.joinable()) reader_.join();
}

void UnpackChild::ReadReport() {
  char buffer[16 << 10];
  while (true) {
    ssize_t got = read(report_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    // A child that talks without end is cut off; what it said then makes no sense.
    if (lines_.size() + static_cast<size_t>(got) > kMaxReport) continue;
    lines_.append(buffer, got);
  }
}

absl::Status UnpackChild::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t put = write(input_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EPIPE) return absl::OkStatus();
    if (put < 0) return absl::ErrnoToStatus(errno, "feeding the unpacker");
    bytes.remove_prefix(put);
  }
  return absl::OkStatus();
}

absl::StatusOr<UnpackReport> UnpackChild::Finish() {
  input_.Reset();
  ASSIGN_OR_RETURN(ExitStatus exit, process_.Wait());
  waited_ = true;
  reader_.join();
  absl::StatusOr<UnpackReport> report = ParseReport(lines_);
  if (exit.signal != 0) {
    return absl::InternalError(absl::StrCat("the unpacker died of signal ", exit.signal));
  }
  if (absl::IsInvalidArgument(report.status())) {
    return WithReason(report.status(), "BAD_ARCHIVE");
  }
  return report;
}

}  // namespace darse::runtime
