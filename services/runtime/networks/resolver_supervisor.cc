#include "services/runtime/networks/resolver_supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "libs/os/process_identity.h"
#include "libs/os/spawn.h"

namespace darse::runtime {
namespace {

// Between the end of one and the start of the next: short, but no busy loop when it cannot start at
// all.
constexpr int kPauseMs = 200;
constexpr int kStopMs = 5000;

std::string PidPath(absl::string_view run_dir) { return JoinPath(run_dir, "dns.pid"); }

absl::StatusOr<Process> Spawn(const ResolverOptions& options) {
  RETURN_IF_ERROR(MakeDirectories(options.run_dir));
  const std::string log = JoinPath(options.run_dir, "dns.log");
  // A file: our own standard error may be a pipe whose reader waits for its end.
  UniqueFd output(open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!output.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", log));
  return Process::Spawn({.program = options.program,
                         .args = {"--run", options.run_dir, "--resolv-conf", options.resolv_conf},
                         .fds = {{output.get(), 2}},
                         .working_dir = "/",
                         .new_session = true});
}

}  // namespace

ResolverSupervisor::ResolverSupervisor(ResolverOptions options)
    : options_(std::move(options)), stop_(eventfd(0, EFD_CLOEXEC)) {}

ResolverSupervisor::~ResolverSupervisor() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof(one)) == sizeof(one)) thread_.join();
}

absl::Status ResolverSupervisor::Start() {
  if (access(options_.program.c_str(), X_OK) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("resolver ", options_.program));
  }
  thread_ = std::thread([this] { Watch(); });
  return absl::OkStatus();
}

bool ResolverSupervisor::Sleep(int fd, int milliseconds) {
  pollfd fds[] = {{.fd = stop_.get(), .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  while (poll(fds, 2, milliseconds) < 0 && errno == EINTR) {
  }
  return fds[0].revents == 0;
}

void ResolverSupervisor::Watch() {
  while (true) {
    absl::StatusOr<ProcessIdentity> running = ReadIdentityFile(PidPath(options_.run_dir));
    absl::StatusOr<UniqueFd> adopted =
        running.ok() ? OpenProcess(*running) : absl::StatusOr<UniqueFd>(running.status());
    if (adopted.ok()) {
      Log(LogLevel::kInfo, "resolver found running", {{"pid", absl::StrCat(running->pid)}});
      if (!Sleep(adopted->get(), -1)) return;
    } else {
      absl::StatusOr<Process> child = Spawn(options_);
      if (child.ok()) {
        Log(LogLevel::kInfo, "resolver started", {{"pid", absl::StrCat(child->pid())}});
        if (!Sleep(child->pidfd(), -1)) return;
        child->Wait().IgnoreError();
      } else {
        Log(LogLevel::kError, "resolver not started",
            {{"error", std::string(child.status().message())}});
      }
    }
    Log(LogLevel::kWarning, "resolver ended; starting it again");
    if (!Sleep(-1, kPauseMs)) return;
  }
}

absl::Status StopResolver(absl::string_view run_dir) {
  absl::StatusOr<ProcessIdentity> running = ReadIdentityFile(PidPath(run_dir));
  if (!running.ok()) return absl::OkStatus();
  absl::StatusOr<UniqueFd> process = OpenProcess(*running);
  if (process.ok()) {
    RETURN_IF_ERROR(KillProcess(*running, SIGTERM));
    pollfd ended{.fd = process->get(), .events = POLLIN};
    if (poll(&ended, 1, kStopMs) == 0) RETURN_IF_ERROR(KillProcess(*running, SIGKILL));
  }
  RETURN_IF_ERROR(RemoveFile(JoinPath(run_dir, "dns.log")));
  return RemoveFile(PidPath(run_dir));
}

}  // namespace darse::runtime
