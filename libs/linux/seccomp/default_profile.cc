// The default filter. A call is allowed because ordinary programs need it and it gives nothing away
// that the container does not have already; calls that act on the whole host are opened by the
// capability that the kernel asks for anyway. Not here, on purpose: io_uring (its own dispatcher,
// outside of this filter), userfaultfd, keyrings, new mount API, kexec, module loading, raw clock
// setting, AF_VSOCK and AF_ALG sockets, namespaces.
#include <linux/capability.h>

#include <algorithm>

#include "absl/strings/str_split.h"
#include "libs/linux/seccomp/seccomp_profile.h"

namespace darse::seccomp {
namespace {

constexpr absl::string_view kFiles =
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 "
    "faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown "
    "fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr "
    "fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd "
    "getdents "
    "getdents64 getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat listxattr "
    "listxattrat "
    "llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat "
    "newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 "
    "pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename "
    "renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs "
    "statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask "
    "unlink "
    "unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev cachestat "
    "name_to_handle_at";

constexpr absl::string_view kEvents =
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 "
    "io_setup "
    "io_submit _newselect pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select "
    "signalfd "
    "signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64";

constexpr absl::string_view kMemory =
    "brk get_robust_list madvise map_shadow_stack membarrier memfd_create memfd_secret mincore "
    "mlock "
    "mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc "
    "pkey_free pkey_mprotect process_mrelease remap_file_pages set_robust_list";

constexpr absl::string_view kProcesses =
    "alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue "
    "futex_time64 futex_wait futex_waitv futex_wake getcpu getegid getegid32 geteuid geteuid32 "
    "getgid "
    "getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority getrandom "
    "getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 "
    "ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self "
    "nanosleep pause pidfd_open "
    "pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending "
    "rt_sigprocmask "
    "rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
    "rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity "
    "sched_getattr "
    "sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
    "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp "
    "setfsgid "
    "setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid "
    "setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid "
    "setreuid32 "
    "setrlimit set_thread_area get_thread_area set_tid_address setsid setuid setuid32 sgetmask "
    "sigaction sigaltstack signal sigpending sigprocmask sigreturn sigsuspend ssetmask sysinfo "
    "tgkill "
    "time times tkill ugetrlimit uname vfork wait4 waitid waitpid ptrace "
    "process_vm_readv process_vm_writev";

constexpr absl::string_view kClocks =
    "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 gettimeofday timer_create timer_delete "
    "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64";

constexpr absl::string_view kMessages =
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr "
    "mq_notify "
    "mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink "
    "msgctl "
    "msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop "
    "semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt "
    "shmget "
    "shutdown socketpair";

struct Opened {
  int capability;
  absl::string_view names;
};

// What a capability opens.
constexpr Opened kOpened[] = {
    {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    {CAP_SYS_ADMIN,
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
     ""
     "mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd "
     "setdomainname sethostname setns syslog umount umount2 unshare"},
    {CAP_SYS_BOOT, "reboot"},
    {CAP_SYS_CHROOT, "chroot"},
    {CAP_SYS_MODULE, "delete_module init_module finit_module"},
    {CAP_SYS_PACCT, "acct"},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise"},
    {CAP_SYS_RAWIO, "iopl ioperm"},
    {CAP_SYS_TIME, "settimeofday stime clock_settime clock_settime64"},
    {CAP_SYS_TTY_CONFIG, "vhangup"},
    {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {CAP_SYSLOG, "syslog"},
    {CAP_BPF, "bpf"},
    {CAP_PERFMON, "perf_event_open"},
};

constexpr uint32_t kEperm = 1, kEnosys = 38;
constexpr char kAllow[] = "SCMP_ACT_ALLOW";

std::vector<std::string> Words(absl::string_view text) {
  return absl::StrSplit(text, ' ', absl::SkipEmpty());
}

Rule AllowIf(const char* name, Comparison condition) {
  return {.names = {name}, .action = kAllow, .args = {std::move(condition)}};
}

void AddConditional(bool admin, std::vector<Rule>& rules) {
  // Linux, the two 32-bit and uname26 variants, and "only asking".
  for (uint64_t persona : {0x0ul, 0x8ul, 0x20000ul, 0x20008ul, 0xfffffffful}) {
    rules.push_back(AllowIf("personality", {.value = persona, .op = "SCMP_CMP_EQ"}));
  }
  // Every address family but AF_ALG (38) and AF_VSOCK (40).
  rules.push_back(AllowIf("socket", {.value = 38, .op = "SCMP_CMP_LT"}));
  rules.push_back(AllowIf("socket", {.value = 39, .op = "SCMP_CMP_EQ"}));
  rules.push_back(AllowIf("socket", {.value = 40, .op = "SCMP_CMP_GT"}));
  if (admin) return;
  // No CLONE_NEW…: none of the namespace flags may be set.
  rules.push_back(
      AllowIf("clone", {.value = 0x7e020000, .value_two = 0, .op = "SCMP_CMP_MASKED_EQ"}));
  // Its flags lie in memory, out of a filter's sight; libc falls back to clone.
  rules.push_back({.names = {"clone3"}, .action = "SCMP_ACT_ERRNO", .errno_value = kEnosys});
}

}  // namespace

Profile DefaultProfile(uint64_t capabilities) {
  Profile profile = {.default_action = "SCMP_ACT_ERRNO", .default_errno = kEperm};
#if defined(__x86_64__)
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
  profile.architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#endif
  Rule allowed = {.action = kAllow};
  for (absl::string_view group : {kFiles, kEvents, kMemory, kProcesses, kClocks, kMessages}) {
    for (std::string& name : Words(group)) allowed.names.push_back(std::move(name));
  }
#if defined(__x86_64__)
  allowed.names.push_back("modify_ldt");
#elif defined(__aarch64__)
  for (const char* name : {"arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2",
                           "breakpoint", "cacheflush", "set_tls"}) {
    allowed.names.push_back(name);
  }
#endif
  for (const Opened& opened : kOpened) {
    if ((capabilities >> opened.capability & 1) == 0) continue;
    for (std::string& name : Words(opened.names)) allowed.names.push_back(std::move(name));
  }
  std::sort(allowed.names.begin(), allowed.names.end());
  allowed.names.erase(std::unique(allowed.names.begin(), allowed.names.end()), allowed.names.end());
  profile.rules.push_back(std::move(allowed));
  AddConditional((capabilities >> CAP_SYS_ADMIN & 1) != 0, profile.rules);
  return profile;
}

}  // namespace darse::seccomp
