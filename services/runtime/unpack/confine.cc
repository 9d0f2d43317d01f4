#include "services/runtime/unpack/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iterator>
#include <memory>

#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

constexpr cap_value_t kKept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,
                                 CAP_FSETID, CAP_MKNOD,        CAP_SETFCAP};

constexpr int kCalls[] = {
    // files
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(openat2),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(lseek),
    SCMP_SYS(fcntl),
    SCMP_SYS(dup),
    SCMP_SYS(getdents64),
    SCMP_SYS(readlinkat),
    SCMP_SYS(mkdirat),
    SCMP_SYS(mknodat),
    SCMP_SYS(symlinkat),
    SCMP_SYS(linkat),
    SCMP_SYS(unlinkat),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(fchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(utimensat),
    SCMP_SYS(fsetxattr),
    SCMP_SYS(ftruncate),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(mkdir),
    // memory, threads, time
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(tgkill),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(prlimit64),
    SCMP_SYS(restart_syscall),
};

absl::Status Errno(const char* doing) { return absl::ErrnoToStatus(errno, doing); }

absl::Status KeepCapabilities() {
  std::unique_ptr<void, int (*)(void*)> caps(cap_init(), cap_free);
  cap_t set = static_cast<cap_t>(caps.get());
  int count = static_cast<int>(std::size(kKept));
  if (set == nullptr || cap_set_flag(set, CAP_PERMITTED, count, kKept, CAP_SET) != 0 ||
      cap_set_flag(set, CAP_EFFECTIVE, count, kKept, CAP_SET) != 0 || cap_set_proc(set) != 0) {
    return Errno("dropping capabilities");
  }
  return absl::OkStatus();
}

absl::Status LoadFilter() {
  std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                seccomp_release);
  if (filter == nullptr) return absl::InternalError("seccomp filter: no memory");
  for (int call : kCalls) {
    int error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
    if (error != 0) return absl::ErrnoToStatus(-error, "seccomp filter");
  }
  // Threads only, never processes or namespaces. clone3 hides its flags in memory: libc falls back
  // to clone.
  int error = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (error == 0) {
    error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, 0x7e030100 | 0x10000, 0x10100));
  }
  if (error != 0) return absl::ErrnoToStatus(-error, "seccomp filter");
  error = seccomp_load(filter.get());
  if (error != 0) return absl::ErrnoToStatus(-error, "loading the seccomp filter");
  return absl::OkStatus();
}

}  // namespace

absl::Status ConfineTo(int directory) {
  umask(0);
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return Errno("limiting core dumps");
  if (fchdir(directory) != 0) return Errno("entering the directory to fill");
  if (chroot(".") != 0) return Errno("making the directory to fill the root");
  if (chdir("/") != 0) return Errno("entering the new root");
  RETURN_IF_ERROR(KeepCapabilities());
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Errno("forbidding new privileges");
  return LoadFilter();
}

}  // namespace darse::runtime
