// darse-dns [--run DIR] [--resolv-conf FILE]: one a run directory; a second one ends at once.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "libs/base/clock.h"
#include "libs/base/log.h"
#include "libs/base/unique_fd.h"
#include "libs/os/files.h"
#include "libs/os/process_identity.h"
#include "services/resolver/resolver_loop.h"

namespace {

int Fail(absl::string_view message, const absl::Status& status) {
  darse::Log(darse::LogLevel::kError, message, {{"error", std::string(status.message())}});
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  darse::InitLog("dns", darse::LogLevel::kInfo);
  const char* run_setting = getenv("DARSE_RUN");
  std::string run = run_setting != nullptr ? run_setting : "/run/darse";
  darse::resolver::ResolverOptions options;
  for (int i = 1; i < argc; i += 2) {
    const absl::string_view flag = argv[i];
    if (i + 1 < argc && flag == "--run") {
      run = argv[i + 1];
    } else if (i + 1 < argc && flag == "--resolv-conf") {
      options.resolv_conf = argv[i + 1];
    } else {
      fprintf(stderr, "usage: darse-dns [--run DIR] [--resolv-conf FILE]\n");
      return 2;
    }
  }
  options.names_directory = darse::JoinPath(run, "dns");

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  darse::UniqueFd stop(signalfd(-1, &signals, SFD_CLOEXEC));

  if (absl::Status status = darse::MakeDirectories(run); !status.ok()) {
    return Fail("run directory", status);
  }
  // Locked as long as this process lives; the identity in it lets the runtime watch us.
  const std::string pid_path = darse::JoinPath(run, "dns.pid");
  darse::UniqueFd pid_file(open(pid_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!pid_file.valid()) return Fail("pid file", absl::ErrnoToStatus(errno, pid_path));
  if (flock(pid_file.get(), LOCK_EX | LOCK_NB) != 0) {
    darse::Log(darse::LogLevel::kInfo, "another resolver serves this run directory");
    return 0;
  }
  absl::StatusOr<darse::ProcessIdentity> self = darse::IdentifyProcess(getpid());
  if (!self.ok()) return Fail("identity", self.status());
  const std::string identity = darse::FormatIdentity(*self);
  if (ftruncate(pid_file.get(), 0) != 0 ||
      pwrite(pid_file.get(), identity.data(), identity.size(), 0) < 0) {
    return Fail("pid file", absl::ErrnoToStatus(errno, pid_path));
  }

  darse::RealClock clock;
  darse::resolver::ResolverLoop loop(options, clock);
  if (absl::Status status = loop.Start(); !status.ok()) return Fail("start", status);
  darse::Log(darse::LogLevel::kInfo, "started", {{"names", options.names_directory}});
  loop.Run(stop.get());
  darse::Log(darse::LogLevel::kInfo, "stopped");
  unlink(pid_path.c_str());
  return 0;
}
