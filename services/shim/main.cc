// darse-shim --state DIR --run DIR --report-fd N [--attach-stdin N] [--attach-stdout N]
// [--attach-stderr N] [--parked CGROUP]
//
// Holds one container (protocol.h), or waits for one (parked.h). Started by the runtime, outlives
// it once it has a container.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/mount/sealed_program.h"
#include "services/shim/packet.h"
#include "services/shim/parked.h"
#include "services/shim/protocol.h"
#include "services/shim/shim.h"

namespace darse::shim {
namespace {

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  std::string content;
  char buffer[4096];
  for (ssize_t got; (got = read(file.get(), buffer, sizeof(buffer))) > 0;) {
    content.append(buffer, static_cast<size_t>(got));
  }
  return content;
}

absl::StatusOr<ShimOptions> ParseArguments(int argc, char** argv, std::string& parked_cgroup) {
  ShimOptions options;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string flag = argv[i], value = argv[i + 1];
    UniqueFd* fd = flag == "--report-fd"       ? &options.report
                   : flag == "--attach-stdin"  ? &options.attach[0]
                   : flag == "--attach-stdout" ? &options.attach[1]
                   : flag == "--attach-stderr" ? &options.attach[2]
                                               : nullptr;
    int number = -1;
    if (flag == "--state") {
      options.state_dir = value;
    } else if (flag == "--run") {
      options.run_dir = value;
    } else if (flag == "--parked") {
      parked_cgroup = value;
    } else if (fd != nullptr && absl::SimpleAtoi(value, &number) && number > 2) {
      // Not for the container.
      if (fcntl(number, F_SETFD, FD_CLOEXEC) < 0) return SyscallError(errno, flag);
      fd->Reset(number);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown or bad argument ", flag, " ", value));
    }
  }
  if (argc % 2 == 0 || options.state_dir.empty() || options.run_dir.empty() ||
      !options.report.valid()) {
    return absl::InvalidArgumentError("usage: darse-shim --state DIR --run DIR --report-fd N");
  }
  return options;
}

// One shim a container: a predecessor may still be removing the cgroup.
absl::Status TakeLock(int lock) {
  for (int attempt = 0; flock(lock, LOCK_EX | LOCK_NB) < 0; ++attempt) {
    if (errno != EWOULDBLOCK && errno != EINTR) return SyscallError(errno, "lock shim.lock");
    if (attempt == 1000) return absl::AlreadyExistsError("another shim holds this container");
    timespec pause = {.tv_sec = 0, .tv_nsec = 5'000'000};
    nanosleep(&pause, nullptr);
  }
  return absl::OkStatus();
}

// In the working directory; not shim.pid yet: a parked shim holds no container.
absl::Status WritePidFile() {
  ASSIGN_OR_RETURN(std::string stat, ReadWhole("/proc/self/stat"));
  // Field 22; the second, in parentheses, may hold anything.
  size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return absl::InternalError("/proc/self/stat: cannot be read");
  std::string start_time = stat.substr(at + 1, stat.find(' ', at + 1) - at - 1);
  std::string content = absl::StrCat(getpid(), " ", start_time, "\n");
  UniqueFd file(open("shim.pid.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid() || write(file.get(), content.data(), content.size()) < 0) {
    return SyscallError(errno, "write shim.pid");
  }
  return absl::OkStatus();
}

// Apart from whoever started us: no terminal, no signals meant for others, no directory held.
void Detach() {
  setsid();
  for (int signal :
       {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU}) {
    ::signal(signal, SIG_IGN);
  }
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  if (null > 2) close(null);
}

// What a parked shim does before its lease.
absl::Status MakeFiles(const ShimOptions& options, UniqueFd& lock) {
  if (chdir(options.run_dir.c_str()) < 0) {
    return SyscallError(errno, absl::StrCat("chdir ", options.run_dir));
  }
  lock.Reset(open("shim.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return SyscallError(errno, "open shim.lock");
  return WritePidFile();
}

absl::Status TakeOver(const UniqueFd& lock, ShimConfig& config) {
  ASSIGN_OR_RETURN(std::string json, ReadWhole("shim.json"));
  ASSIGN_OR_RETURN(config, DecodeShimConfig(json));
  RETURN_IF_ERROR(TakeLock(lock.get()));
  if (rename("shim.pid.new", "shim.pid") < 0) return SyscallError(errno, "write shim.pid");
  return absl::OkStatus();
}

absl::Status WaitForLease(ShimOptions& options, const std::string& cgroup_path) {
  ASSIGN_OR_RETURN(Leased leased, AwaitLease(options.report.get(), cgroup_path));
  for (int i = 0; i < 3; ++i) options.attach[i] = std::move(leased.lease.attach[i]);
  options.clearance = std::move(leased.lease.clearance);
  options.starter = std::move(leased.starter);
  return absl::OkStatus();
}

int Fail(const ShimOptions& options, const char* step, const absl::Status& why) {
  Message message = {
      .kind = MessageKind::kFailed,
      .failure = {.step = step, .error = ErrnoOf(why), .message = std::string(why.message())}};
  SendPacket(options.report.get(), EncodeMessage(message)).IgnoreError();
  return 1;
}

int Main(int argc, char** argv) {
  if (absl::Status sealed = mnt::StaySealed(argv, "darse-shim"); !sealed.ok()) {
    fprintf(stderr, "darse-shim: %s\n", std::string(sealed.message()).c_str());
    return 2;
  }
  std::string parked_cgroup;
  absl::StatusOr<ShimOptions> options = ParseArguments(argc, argv, parked_cgroup);
  if (!options.ok()) {
    fprintf(stderr, "darse-shim: %s\n", std::string(options.status().message()).c_str());
    return 2;
  }
  Detach();
  // Buffers go back to the kernel when they are freed.
  mallopt(M_MMAP_THRESHOLD, 8 << 10);
  // What is forked knows them too: with many containers the kernel takes a while to list its
  // mounts.
  cgroup::FindHierarchies().IgnoreError();
  UniqueFd lock;
  absl::Status made = MakeFiles(*options, lock);
  if (!made.ok()) return Fail(*options, "config", made);
  if (!parked_cgroup.empty()) {
    absl::Status leased = WaitForLease(*options, parked_cgroup);
    if (absl::IsCancelled(leased)) return 0;
    if (!leased.ok()) return Fail(*options, "cgroup", leased);
  }
  ShimConfig config;
  absl::Status taken = TakeOver(lock, config);
  if (!taken.ok()) return Fail(*options, "config", taken);
  Shim shim(*std::move(options), std::move(config));
  return shim.Run().ok() ? 0 : 1;
}

}  // namespace
}  // namespace darse::shim

int main(int argc, char** argv) { return darse::shim::Main(argc, argv); }
